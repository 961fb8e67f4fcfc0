"""Owners and grants that a restore leaves out by choice: no difference afterwards, as there was none in preflight."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from owned import LARGE_OBJECT, SCHEMA, Owned, owned_database

from cutover.finding import Finding, Status
from cutover.postgres import Comparison, Restored, check_restore, compare, dump, restore, trial_transfer
from cutover.postgres.integrity.results import Equality
from cutover.postgres.preflight.scratch import check_schema
from cutover.rehearsal.postgres import Server

OF_THE_OWNER = """
REVOKE TRUNCATE ON shop.users FROM {owner};
GRANT SELECT ON shop.notes TO {other};
ALTER SCHEMA public OWNER TO {owner};
CREATE TABLE public.second (a int);
"""
"""What depends on who owns what: `{other}` is the role that restores."""


@dataclass(frozen=True)
class _Sides:
    """A source, and an empty database of another ordinary role, which is known on the source too."""

    ours: Owned
    theirs: Owned
    server: Server


@pytest.fixture
def sides(pg17: Server, pg18: Server) -> Iterator[_Sides]:
    """Both, entered by their owners."""
    tag = secrets.token_hex(3)
    owner, other, reader = f"appdb_owner_{tag}", f"platform_admin_{tag}", f"reads_{tag}"
    with (
        owned_database(pg17, other, reader) as _,
        owned_database(pg17, owner, reader, SCHEMA, LARGE_OBJECT, OF_THE_OWNER.replace("{other}", other)) as ours,
        owned_database(pg18, other, reader) as theirs,
    ):
        yield _Sides(ours, theirs, pg18)


def _closing(comparison: Comparison) -> set[str]:
    return {f.id for f in comparison.findings if f.closes_gate}


def _of(comparison: Comparison, key: str) -> Finding:
    return next(f for f in comparison.findings if f.id == key)


def test_owners_that_were_left_out_by_choice_close_nothing(sides: _Sides, tmp_path: Path) -> None:
    """Through dump and restore between ordinary owners of different names; somebody else's table closes it."""
    sides.theirs.run(f"CREATE ROLE {sides.ours.owner}", admin=True)  # known on the target, and owns nothing there
    try:
        dump(sides.ours.url, tmp_path / "dump")
        done = restore(tmp_path / "dump", sides.theirs.url, acl=True)
        assert {f.status for f in check_restore(done)} == {Status.PASS}, done.errors
        ours, theirs = sides.ours.url, sides.theirs.url
        found = compare(ours, theirs, restored=Restored())
        assert _closing(found) == set(), [f.observed for f in found.findings if f.closes_gate]
        assert _of(found, "INT-catalog").status is Status.PASS
        meant = _of(found, "INT-catalog-owner:declared")
        assert (meant.status, "--no-owner by choice" in meant.why) == (Status.WAIVED, True)
        assert not [f.id for f in found.findings if "OWNER TO" in f.remedy]
        assert {"INT-catalog", "INT-catalog-owner"} <= _closing(compare(ours, theirs)), "where owners were wanted"
        sides.theirs.run("ALTER TABLE shop.notes OWNER TO {reader}", admin=True)
        found = compare(sides.ours.admin, sides.theirs.admin, restored=Restored(role=sides.theirs.owner))
        assert {"INT-catalog", "INT-catalog-owner"} <= _closing(found)
    finally:
        sides.theirs.run(f"DROP OWNED BY {sides.ours.owner}; DROP ROLE {sides.ours.owner}", admin=True)


def test_grants_that_were_left_out_by_choice_close_nothing(sides: _Sides, tmp_path: Path) -> None:
    """Nor in the trial of notebook 04; a grant that nobody gave on the source does, and the lack of wanted ones."""
    ours, theirs = sides.ours.url, sides.theirs.url
    without = Restored(acl=False)
    found = trial_transfer(ours, theirs, tmp_path / "dump", acl=False).comparison
    assert _closing(found) == set(), [f.observed for f in found.findings if f.closes_gate]
    waived = [f.why for f in found.findings if f.id.startswith("INT-catalog-acl:") and f.status is Status.WAIVED]
    assert any("--no-acl by choice" in why for why in waived)
    assert "INT-catalog-acl" in _closing(compare(ours, theirs, restored=Restored()))
    sides.theirs.run("GRANT DELETE ON shop.users TO PUBLIC")
    found = compare(ours, theirs, restored=without)
    assert "PUBLIC DELETE more" in _of(found, "INT-catalog-acl").observed


@pytest.mark.parametrize("acl", [True, False])
def test_preflight_and_the_night_say_the_same(sides: _Sides, acl: bool) -> None:
    """The trial restore of the schema is judged by the rule by which the restore is compared."""
    sides.theirs.run(f"ALTER ROLE {sides.theirs.owner} CREATEDB", admin=True)
    if acl:
        sides.theirs.run(f"CREATE ROLE {sides.ours.owner}", admin=True)
    try:
        findings = {f.id: f for f in check_schema(sides.ours.url, sides.theirs.url, owner=False, acl=acl, role=None)}
        assert findings["PRE-schema-same"].status is Status.PASS, findings["PRE-schema-same"].observed
        assert findings["PRE-schema-objects"].status is Status.PASS, findings["PRE-schema-objects"].observed
    finally:
        sides.theirs.run(f"DROP ROLE IF EXISTS {sides.ours.owner}", admin=True)


def test_an_owner_that_was_left_out_is_not_missed(pg17: Server, pg18: Server) -> None:
    """The usual move: the source's owner is no role of the target's; equal. Named in a policy, it is missed."""
    tag = secrets.token_hex(3)
    made = "CREATE TABLE public.things (id int PRIMARY KEY); INSERT INTO public.things VALUES (1)"
    with (
        owned_database(pg17, f"appdb_owner_{tag}", f"reads_{tag}", made) as ours,
        owned_database(pg18, f"platform_admin_{tag}", f"reads_{tag}", made) as theirs,
    ):
        found = compare(ours.url, theirs.url, restored=Restored())
        assert _of(found, f"INT-catalog-role:{ours.owner}").status is Status.WAIVED
        assert found.verdict() is Equality.EQUAL, found.sentence()
        for side in (ours, theirs):
            side.run("ALTER TABLE public.things ENABLE ROW LEVEL SECURITY")
        ours.run(f"CREATE POLICY mine ON public.things TO {ours.owner} USING (true)")
        found = compare(ours.url, theirs.url, restored=Restored())
        assert _of(found, f"INT-catalog-role:{ours.owner}").status is Status.MISSING
        assert found.verdict() is Equality.DIFFERENT
