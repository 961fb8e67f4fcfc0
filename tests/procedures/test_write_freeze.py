"""The write freeze: made, proven, seen through and undone."""

from __future__ import annotations

from night import DUE, Context, Night, carry_out, sql, takes_writes

from cutover import postgres, queue
from cutover.finding import Finding, Status
from cutover.procedures import freeze, transfer


def closing(findings: list[Finding]) -> set[str]:
    """The ids of what closes the gate."""
    return {f.id for f in findings if f.closes_gate}


def frozen(night: Night, context: Context) -> list[tuple[object, object]]:
    """What notebook 11 changes, each with what verified it."""
    made = []
    redis_url = context.migration.resolve(context.migration.source.redis_url)
    for action in (
        freeze.maintenance(context, enabled=True),
        queue.PauseQueues(redis_url, settle_s=0.1),
        postgres.Freeze(night.source),
    ):
        change, findings = carry_out(context, action)
        assert closing(list(findings.values())) == set()
        made.append((action, change))
    return made


def test_a_freeze_is_made_proven_and_undone(night: Night) -> None:
    """Application, queues and database refuse; a second time nothing is changed; undone, they go on as before."""
    context = night.context("11_write_freeze")
    open_still = freeze.check_frozen(context)
    assert {"MNT-02", "MNT-03", "MNT-04"} <= closing(open_still)
    made = frozen(night, context)
    assert closing(freeze.check_frozen(context)) == set()
    assert (night.old.closed, takes_writes(night.source)) == (True, False)
    assert night.here.hexists("bull:mail:meta", "paused")
    assert freeze.maintenance(context, enabled=True).plan().empty
    for action, change in reversed(made):
        action.undo(change)
    assert (night.old.closed, takes_writes(night.source)) == (False, True)
    assert not night.here.hexists("bull:mail:meta", "paused")


def test_a_person_switches_where_no_switch_is_named(night: Night) -> None:
    """There is no action then."""
    night.raw["source"].pop("maintenance")
    assert freeze.maintenance(night.context(), enabled=True) is None


def test_a_queue_runs_again_at_the_target_unless_it_stood_still_before(night: Night) -> None:
    """Also when the freeze was made twice: the second attempt finds paused what the first one paused."""
    night.raw["transfer"] = "dump"
    night.here.hset("bull:slow:2", mapping={"name": "hello", "data": "{}", "opts": "{}", "timestamp": 1})
    night.here.zadd("bull:slow:delayed", {"2": DUE * 0x1000})
    night.here.hset("bull:slow:meta", mapping={"version": "bullmq:5", "paused": 1})
    context = night.context("11_write_freeze")
    assert freeze.paused_before(context.journal) is None
    for _ in range(2):
        frozen(night, context)
    assert freeze.paused_before(context.journal) == {"mail": False, "slow": True}
    assert [str(f.status) for f in freeze.compare_queues(context)] == ["UNKNOWN"]
    assert closing(freeze.check_queues(context)) == set()
    _, findings = carry_out(context, freeze.queues_change(context))
    assert closing([*findings.values(), *freeze.compare_queues(context)]) == set()
    assert not night.there.hexists("bull:mail:meta", "paused")
    assert night.there.hexists("bull:slow:meta", "paused")
    context.journal.write("undo", action="pause-queues", subject="", result={})
    assert freeze.paused_before(context.journal) is None


def test_a_dump_is_moved_compared_and_watched(night: Night) -> None:
    """Every row is there; a write on the source since then is named; and how long users were refused is known."""
    night.raw["transfer"] = "dump"
    context = night.context()
    assert transfer.follow_change(context) is None
    assert transfer.identity_change(context) is None
    (nothing,) = freeze.check_still_frozen(context)
    assert (nothing.id, nothing.status) == ("FRZ-00", Status.UNKNOWN)
    frozen(night, context)
    freeze.check_frozen(context)
    change, findings = carry_out(context, transfer.transfer_change(context, jobs=1))
    assert closing(list(findings.values())) == set()
    assert freeze.transfer_made(context)["result"]["dump"]["lsn"] == change.result["dump"]["lsn"]
    assert freeze.fingerprint_of(context) is not None
    carry_out(context, transfer.reports_change(context))
    compared = transfer.compare_databases(context, jobs=1)
    assert closing([*compared.findings, *freeze.compare_reports(context)]) == set()
    assert compared.tables
    assert all(t.identical for t in compared.tables)
    assert closing(freeze.check_still_frozen(context, jobs=1)) == set()
    (refused,) = transfer.check_refusal(context, night.account(context))
    assert (refused.status, refused.data["way"]) == (Status.PASS, "dump")
    sql(night.source, "INSERT INTO public.users (email) VALUES ('too late')")
    late = [f for f in freeze.check_still_frozen(context, jobs=1) if f.closes_gate]
    assert any("public.users" in f.observed for f in late)
