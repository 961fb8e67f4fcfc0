"""`cutover compare` between owners that are no superusers and have different names, as on any two services."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import pytest
from owned import BESIDE, LARGE_OBJECT, POLICY, SCHEMA, Owned, owned_database
from test_cli_compare import compare

from cutover.rehearsal.postgres import Server

Pair = tuple[Owned, Owned]


@pytest.fixture(scope="module")
def reader() -> str:
    """A role that reads on both sides."""
    return f"reads_{secrets.token_hex(3)}"


@pytest.fixture(scope="module")
def same(pg17: Server, pg18: Server, reader: str) -> Iterator[Pair]:
    """The same database on both sides, each of a role of one name; not to be changed."""
    owner = f"one_{secrets.token_hex(3)}"
    texts = (SCHEMA, BESIDE, LARGE_OBJECT, POLICY)
    with owned_database(pg17, owner, reader, *texts) as ours, owned_database(pg18, owner, reader, *texts) as theirs:
        yield ours, theirs


@pytest.fixture(scope="module")
def other(pg17: Server, pg18: Server, reader: str) -> Iterator[Pair]:
    """The same database, of a role of another name on each side; not to be changed."""
    tag = secrets.token_hex(3)
    texts = (SCHEMA, BESIDE, LARGE_OBJECT, POLICY)
    with (
        owned_database(pg17, f"appdb_owner_{tag}", reader, *texts) as ours,
        owned_database(pg18, f"Platform Admin {tag}", reader, *texts) as theirs,
    ):
        yield ours, theirs


def test_identical_databases_are_equal_to_their_owners_who_are_no_superusers(same: Pair) -> None:
    """Exit code 0; what PostgreSQL shows to superusers alone is named as left out, with the roles."""
    done = compare(same[0].url, same[1].url)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith(
        "All 2 tables, 120 rows, 1 large object, every sequence, index and constraint: identi"
    )
    assert "Not comparable" not in done.stdout
    assert "Passwords of roles are compared where a superuser looks at both sides; left out, for" in done.stdout
    assert same[0].owner in done.stdout
    told = json.loads(compare(same[0].url, same[1].url, "--json").stdout)
    (hidden,) = [f for f in told["findings"] if f["id"] == "INT-catalog-role:unseen-password"]
    assert (hidden["status"], "pg_authid" in hidden["why"]) == ("NOT_APPLICABLE", True)


def test_what_is_hidden_from_one_side_alone_is_left_out_too(same: Pair) -> None:
    """A superuser at the source does not make the target's passwords known; two of them compare the passwords."""
    assert compare(same[0].admin, same[1].url).returncode == 0
    both = compare(same[0].admin, same[1].admin)
    assert (both.returncode, "left out, for" in both.stdout) == (0, False)


def test_a_table_that_the_owner_may_not_read_is_not_comparable(same: Pair) -> None:
    """What somebody can grant is left out by no rule: exit code 5, with the grant."""
    for side in same:
        side.run("CREATE TABLE shop.closed (a int); REVOKE SELECT ON shop.closed FROM {owner}")
    try:
        done = compare(same[0].url, same[1].url)
        assert (done.returncode, "GRANT SELECT ON shop.closed" in done.stdout) == (5, True), done.stdout
    finally:
        for side in same:
            side.run("DROP TABLE shop.closed")


def test_one_owner_for_one_other_throughout_is_said_and_equal(other: Pair) -> None:
    """Owners, grants, policies, default privileges and what the owner may not: under the target's name."""
    ours, theirs = other
    done = compare(ours.url, theirs.url)
    assert done.returncode == 0, done.stdout
    objects = f"{ours.owner} of the source is {theirs.owner} on the target: "
    assert objects in done.stdout
    assert "OWNER TO" not in done.stdout
    given = compare(ours.url, theirs.url, "--map-role", f"{ours.owner}={theirs.owner[1:-1]}")
    assert (given.returncode, objects in given.stdout) == (0, True), given.stdout


def test_one_thing_that_breaks_the_mapping_is_a_difference(other: Pair) -> None:
    """Exit code 3 and one difference: everything else is still compared under the target's name."""
    ours, theirs = other
    theirs.run("ALTER TYPE shop.size OWNER TO {reader}", admin=True)
    try:
        done = compare(ours.url, theirs.url)
    finally:
        theirs.run("ALTER TYPE shop.size OWNER TO {owner}", admin=True)
    assert (done.returncode, "1 difference beside the rows" in done.stdout.splitlines()[0]) == (3, True), done.stdout
    says = f"belongs to {theirs.reader} on the target, to {ours.owner} ({theirs.owner} on the target) on the source"
    assert says in done.stdout


def test_two_roles_that_would_become_one_are_a_difference_unless_they_are_given(
    pg17: Server, pg18: Server, reader: str
) -> None:
    """Who could not touch the other's tables can on the target; the way to say that it is meant is named."""
    tag = secrets.token_hex(3)
    tables = "CREATE TABLE public.a (id int); CREATE TABLE public.b (id int); GRANT SELECT ON public.a TO {reader};"
    with (
        owned_database(pg17, f"first_{tag}", reader, tables) as ours,
        owned_database(pg18, f"only_{tag}", reader, tables.replace("GRANT", "--")) as theirs,
    ):
        ours.run("ALTER TABLE public.b OWNER TO {reader}", admin=True)
        done = compare(ours.url, theirs.url, "--table", "a", "--table", "b")
        assert done.returncode == 3, done.stdout
        both = " ".join(f"--map-role {role}={theirs.owner}" for role in sorted((ours.owner, ours.reader)))
        assert f"one role on the target, {theirs.owner} (where that is meant: {both})" in done.stdout
        told = compare(ours.url, theirs.url, "--json").stdout
        assert f"OWNER TO {ours.owner}" not in told, "the target has no role of that name"
        ours.run("GRANT SELECT ON public.b TO {owner}", admin=True)
        given = compare(ours.admin, theirs.admin, *both.split())
        assert given.returncode == 0, given.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--map-role", "nobody"], "no A=B"),
        (["--map-role", "a=b", "--map-role", "a=c"], "a is b already"),
        (["--map-role", "nobody_here=postgres"], "There is no role nobody_here on the source"),
        (["--map-role", "postgres=nobody_there"], "There is no role nobody_there on the target"),
        (["--map-role", "a=b", "--rows-only"], "leaves the catalog out"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_wrong_usage(options: list[str], says: str, same: Pair) -> None:
    """Exit code 2: what was to be compared under another name would be compared under its own."""
    done = compare(same[0].url, same[1].url, *options)
    assert (done.returncode, says in done.stderr) == (2, True), done.stdout + done.stderr
