"""A copy that follows its source between ordinary owners of different names, which are left out by choice."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from owned import BESIDE, SCHEMA, Owned, owned_database

from cutover.finding import Status
from cutover.postgres import compare
from cutover.postgres.replication import Link, StartReplication, check_following, end_replication
from cutover.postgres.replication.schema import copy_schema_after, copy_schema_before, missing_objects
from cutover.postgres.replication.watch import check_schema
from cutover.rehearsal.postgres import Server

Sides = tuple[Owned, Owned]


@pytest.fixture
def sides(pg17: Server, pg18: Server) -> Iterator[Sides]:
    """A source whose owner may replicate, and an empty target whose owner may subscribe."""
    tag = secrets.token_hex(3)
    with (
        owned_database(pg17, f"appdb_owner_{tag}", f"reads_{tag}", SCHEMA) as ours,
        owned_database(pg18, f"platform_admin_{tag}", f"reads_{tag}") as theirs,
    ):
        ours.run("ALTER ROLE {owner} REPLICATION", admin=True)
        theirs.run("GRANT pg_create_subscription TO {owner}", admin=True)
        yield ours, theirs


def _link(sides: Sides, *, acl: bool) -> Link:
    return Link(sides[0].url, sides[1].url, name=f"cutover_{sides[0].name}", acl=acl)


def test_owners_that_are_left_out_are_no_change_of_the_schema(sides: Sides) -> None:
    """It follows; REP-schema and the comparison at the switchover LSN pass; a grant that is lost is a change."""
    link = _link(sides, acl=True)
    try:
        action = StartReplication(link)
        action.apply(action.plan())
        assert [f.id for f in check_following(link, settle_s=20) if f.closes_gate] == []
        compared = compare(link.source_url, link.target_url, restored=link.restored, live=True)
        closing = {f.id for f in compared.findings if f.closes_gate}  # sequences are set at the switchover LSN
        assert [key for key in closing if not key.startswith("INT-sequence")] == []
        sides[1].run("REVOKE ALL ON shop.users FROM {reader}")
        found = check_schema(link)
        assert (found.status, "Grants are the same on both sides? No" in found.observed) == (Status.FAIL, True)
        assert "OWNER TO" not in found.remedy
    finally:
        end_replication(link)


def test_grants_that_are_left_out_are_no_change_of_the_schema(sides: Sides) -> None:
    """The schema is made without them, so that grants by or to a role that the target lacks stop nothing."""
    sides[0].run(BESIDE)
    link = _link(sides, acl=False)
    copy_schema_before(link)
    assert copy_schema_after(link, jobs=1) == []
    assert missing_objects(link) == []
    assert check_schema(link).status is Status.PASS
    sides[1].run("GRANT ALL ON shop.users TO PUBLIC")
    assert check_schema(link).status is Status.FAIL
