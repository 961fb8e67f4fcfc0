"""A copy that follows its source, from its first look to its end; and the first write at the target."""

from __future__ import annotations

import pytest
from night import Night, carry_out, rows, sql

from cutover.errors import UsageError
from cutover.finding import Status
from cutover.postgres import replication
from cutover.procedures import transfer, watch


def test_a_copy_is_begun_watched_and_ended(night: Night) -> None:
    """It is fit, it follows, the lag is on record; a change of the schema is named; in the end nothing is left."""
    context = night.context("08_replication")
    assert [f.id for f in transfer.check_way(context) if f.closes_gate] == []
    assert {f.id for f in transfer.check_followed(context, settle_s=0) if f.closes_gate} >= {"REP-tables"}
    carry_out(context, transfer.identity_change(context))
    action = transfer.follow_change(context, jobs=1)
    _, findings = carry_out(context, action)
    assert [key for key, f in findings.items() if f.closes_gate] == []
    assert action.plan().empty
    sql(night.source, "INSERT INTO public.users (email) VALUES ('on its way')")
    assert [f.id for f in transfer.check_followed(context, settle_s=10) if f.closes_gate] == []
    assert rows(night.target, "SELECT count(*) FROM public.users") == [(201,)]
    assert not transfer.watch_lag(context, 0.0).empty
    assert (context.run.path / "raw" / "08_replication" / "lag.json").exists()
    sql(night.source, "ALTER TABLE public.users ADD born date")
    changed = {f.id: f for f in transfer.check_followed(context, settle_s=0)}["REP-schema"]
    assert (changed.status, "public.users" in changed.observed) == (Status.FAIL, True)
    carry_out(context, transfer.follow_change(context, stop=True))
    assert [f.status for f in transfer.check_followed(context, stop=True)] == [Status.PASS]
    assert replication.link_state(night.link).nothing


def test_a_notebook_of_the_other_way_refuses_to_run(night: Night) -> None:
    """Before it has refused anybody."""
    context = night.context("11_write_freeze")
    transfer.require_transfer(context, "replicate")
    with pytest.raises(UsageError, match="`transfer: dump`"):
        transfer.require_transfer(context, "dump")
    night.raw["transfer"] = "dump"
    assert [f.status for f in transfer.check_way(night.context())] == [Status.NOT_APPLICABLE]
    assert [f.status for f in transfer.check_ready(night.context())] == [Status.NOT_APPLICABLE]


def test_the_first_write_is_the_first_session_that_the_target_keeps(night: Night) -> None:
    """Until then it is not known, and so is how long users were refused."""
    context = night.context("15_validation")
    account = night.account(context)
    assert watch.first_accepted_write(context, account, timeout_s=0.3) == ""
    (refused,) = transfer.check_refusal(context, account)
    assert (refused.id, refused.status) == ("RFS-01", Status.UNKNOWN)
    sql(night.target, "CREATE TABLE public.sessions (id serial, email text)")
    assert watch.first_accepted_write(context, account, timeout_s=5.0)
    assert rows(night.target, "SELECT count(*) FROM public.sessions") == [(1,)]
