"""The switch-over of a replicated copy: to one of two good ends, whatever comes between."""

from __future__ import annotations

import psycopg
import pytest
from night import DUE, Night, Store, rows, sql, takes_writes
from standin import until

from cutover.action import Change, Plan
from cutover.errors import ActionRefused
from cutover.finding import Status
from cutover.postgres import replication
from cutover.procedures import transfer
from cutover.procedures.switchover_findings import REFUSAL_KEY


def test_everybody_is_moved_and_nothing_is_lost(night: Night) -> None:
    """Rows, sequences, views, jobs, reports and the name; the refusal is measured, the comparison kept."""
    night.follow()
    sql(night.source, "INSERT INTO public.sessions (email) SELECT 'x' FROM generate_series(1, 7)")
    context = night.context()
    change = night.switch_over(context)
    assert change.result["switched"], change.result
    assert night.closing() == set()
    night.assert_users_are_at_the_target()
    assert rows(night.target, "SELECT times FROM public.busy WHERE email = 'x'") == [(7,)]
    assert (night.folder / "arrived" / "one.pdf").exists()
    assert night.findings["RFS-01"].status is Status.PASS
    assert context.journal.recall(REFUSAL_KEY)["seconds"] > 0
    kept = transfer.compare_databases(night.context("13_data_integrity"))
    assert {f.id: f.status for f in kept.findings}["SWO-03"] is Status.PASS
    (refused,) = transfer.check_refusal(night.context("15_validation"), night.account(context))
    assert refused.status is Status.PASS
    again = night.switch_over()
    assert again.plan.empty
    assert night.closing() == set()


def test_a_difference_lets_users_back_in(night: Night) -> None:
    """A row that the copy lost; run again when it is there, everybody is moved."""
    night.follow()
    sql(night.target, "DELETE FROM public.users WHERE id = 7")
    change = night.switch_over()
    assert not change.result["switched"]
    assert {"SWO-01", "INT-rows:public.users"} <= night.closing()
    night.assert_users_are_at_the_source()
    sql(night.target, "INSERT INTO public.users OVERRIDING SYSTEM VALUE VALUES (7, 'u7@shadowtwin.example')")
    assert night.switch_over().result["switched"], night.findings
    night.assert_users_are_at_the_target()


def test_writes_are_refused_no_longer_than_allowed(night: Night) -> None:
    """The limit runs out while the copy has not come to the switchover LSN: something holds a table of it."""
    night.follow()
    with psycopg.connect(night.root[1]) as holding:
        holding.execute("LOCK TABLE public.users")
        sql(night.source, "INSERT INTO public.users (email) VALUES ('on its way')")
        assert not night.switch_over(longest=1.5).result["switched"]
    assert night.closing() == {"SWO-01"}
    night.assert_users_are_at_the_source()


def test_no_time_at_all_lets_users_back_in_at_once(night: Night) -> None:
    """Before anything but the maintenance mode was switched."""
    night.follow()
    assert not night.switch_over(longest=0.0001).result["switched"]
    assert "the most that was allowed" in night.findings["SWO-01"].observed
    assert not night.old.closed
    assert takes_writes(night.source)


def test_jobs_of_the_targets_own_are_found_before_users_are_let_in(night: Night) -> None:
    """They would be mixed with those that are carried."""
    night.follow()
    night.there.hset("bull:mail:9", mapping={"name": "mine", "data": "{}", "opts": "{}", "timestamp": 1})
    night.there.hset("bull:mail:meta", "version", "bullmq:5")
    night.there.zadd("bull:mail:delayed", {"9": DUE * 0x1000})
    assert not night.switch_over().result["switched"]
    assert "holds other jobs" in night.findings["SWO-01"].observed
    night.there.flushdb()
    night.assert_users_are_at_the_source()


def test_a_part_that_cannot_be_undone_keeps_no_other_from_it(night: Night) -> None:
    """The maintenance switch is stuck: a person is told what to do, and database and queues go on."""
    night.follow()

    def stick() -> None:
        night.old.stuck = True

    store = Store(night.journal, ['"change"', "freeze-database"], stick, after=True)
    sql(night.target, "DELETE FROM public.users WHERE id = 7")
    assert not night.switch_over(night.context(store=store)).result["switched"]
    told = night.findings["SWO-undo-maintenance-on"]
    assert (told.status, told.closes_gate) == (Status.FAIL, True)
    assert "PUT /api/admin/maintenance with enabled=false" in told.remedy
    assert night.old.closed
    assert takes_writes(night.source)
    assert not night.here.hexists("bull:mail:meta", "paused")
    undone = [e["action"] for e in night.context().journal.entries("undo")]
    assert undone == ["freeze-database", "pause-queues"]


def test_a_write_behind_the_fence_is_named(night: Night) -> None:
    """A session that sets the freeze off for itself, once the copy is paused: the source alone has it."""
    night.follow()

    def write() -> None:
        sql(night.source, "INSERT INTO public.users (email) VALUES ('too late')")
        until(lambda: not (state := replication.link_state(night.link)).worker or not state.behind_bytes)

    store = Store(night.journal, ["replication-proven", "released"], write, after=True)
    assert night.switch_over(night.context(store=store)).result["switched"]
    assert night.closing() == {"SWO-late"}
    assert "public.users" in night.findings["SWO-late"].observed
    assert rows(night.target, "SELECT id FROM public.users WHERE email = 'too late'") == []


KILLED = {
    "users are refused": (['"change"', "freeze-database"], False),
    "the copy is paused": (["replication-proven", "released"], False),
    "users may be at the target": (["replication-proven", "released"], True),
    "jobs are carried": (['"change-begun"', "switch-dns"], False),
}
"""Where a switch-over is killed: before, or after a line of the journal that says all of this."""


@pytest.mark.parametrize("where", KILLED)
def test_killed_and_run_again_everybody_is_moved(night: Night, where: str) -> None:
    """Before users are let in it is ready to begin again; after that it only ends what was begun."""
    night.follow()
    said, after = KILLED[where]
    night.killed_switch_over(*said, after=after)
    ready = transfer.check_ready(night.context())
    assert [f.id for f in ready if f.closes_gate and f.id.startswith(("REP", "QUE", "APP"))] == []
    assert night.switch_over().result["switched"], night.findings
    assert night.closing() == set()
    night.assert_users_are_at_the_target()


def test_killed_and_run_again_users_are_let_back_in(night: Night) -> None:
    """What the killed attempt did is undone by the next one, when that finds a difference."""
    night.follow()
    night.killed_switch_over(*KILLED["the copy is paused"][0])
    sql(night.target, "DELETE FROM public.users WHERE id = 7")
    assert not night.switch_over().result["switched"]
    assert {"SWO-01", "INT-rows:public.users"} <= night.closing()
    assert not [key for key in night.findings if key.startswith("SWO-undo")]
    night.assert_users_are_at_the_source()


def test_without_a_copy_there_is_nothing_to_switch_to(night: Night) -> None:
    """It is refused before anything is changed."""
    with pytest.raises(ActionRefused, match="nothing follows"):
        night.switch_over()
    assert takes_writes(night.source)
    assert not night.old.closed


def test_a_switchover_is_not_undone_by_a_program(night: Night) -> None:
    """Users write at the target."""
    action = transfer.transfer_change(night.context())
    with pytest.raises(ActionRefused, match="90_rollback_decision"):
        action.undo(Change(Plan(action.name, "a", "b"), {}, "", 0.0))
