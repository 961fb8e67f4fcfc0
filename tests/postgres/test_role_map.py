"""One role of the source that is one other on the target: recognised where it is so throughout, and what breaks it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from owned import BESIDE, LARGE_OBJECT, POLICY, SCHEMA, Owned, owned_database

from cutover.errors import UsageError
from cutover.finding import Finding, Status
from cutover.postgres import Catalog, compare_catalogs
from cutover.postgres.catalog import read_catalog_in, role_map
from cutover.postgres.connection import connect
from cutover.rehearsal.postgres import Server

After = Callable[[Owned, str], Catalog]


@pytest.fixture(scope="module")
def pair(pg17: Server, pg18: Server) -> Iterator[tuple[Owned, Owned]]:
    """The same database of another ordinary role on each side, which one role reads; not to be changed."""
    tag = secrets.token_hex(3)
    with (
        owned_database(pg17, f"appdb_owner_{tag}", f"reads_{tag}", SCHEMA, BESIDE, LARGE_OBJECT, POLICY) as ours,
        owned_database(pg18, f"Platform Admin {tag}", f"reads_{tag}", SCHEMA, BESIDE, LARGE_OBJECT, POLICY) as theirs,
    ):
        yield ours, theirs


@pytest.fixture
def after() -> After:
    """`after(database, statements)`: its catalog as its owner sees it after them; they are rolled back."""

    def read(database: Owned, text: str) -> Catalog:
        with connect(database.admin, readonly=False, autocommit=False) as connection:
            filled = text.replace("{owner}", database.owner).replace("{reader}", database.reader)
            connection.execute(filled.replace("{database}", database.name).encode())
            connection.execute(f"SET LOCAL ROLE {database.owner}".encode())
            catalog = read_catalog_in(connection, database.name)
            connection.rollback()
        return catalog

    return read


def _compared(source: Catalog, target: Catalog, **given: str) -> dict[str, Finding]:
    """Findings by their id, but for those that something is equal."""
    found = compare_catalogs(source, target, roles=role_map(source, target, given))
    return {f.id: f for f in found if f.status is not Status.PASS or f.id.startswith("INT-catalog-role-map")}


def _wrong(found: dict[str, Finding]) -> dict[str, Finding]:
    return {key: f for key, f in found.items() if f.status in (Status.FAIL, Status.MISSING, Status.UNKNOWN)}


ALIKE = {
    "nothing": "SELECT 1",
    "settings of the owner": "ALTER ROLE {owner} SET statement_timeout = '31s'; "
    "ALTER ROLE {owner} IN DATABASE {database} SET work_mem = '7MB'",
    "memberships of the owner": "GRANT {reader} TO {owner}",
    "a user mapping": "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; "
    "CREATE USER MAPPING FOR {owner} SERVER s OPTIONS (user 'a')",
    "the schema public": "ALTER SCHEMA public OWNER TO {owner}",
    "many large objects": "SET LOCAL ROLE {owner}; SELECT lo_create(n) FROM generate_series(1000, 1009) n; "
    "GRANT SELECT ON LARGE OBJECT 1003 TO {reader}",
}


@pytest.mark.parametrize("what", ALIKE)
def test_wherever_the_owner_stands_it_is_the_other(
    what: str, pair: tuple[Owned, Owned], after: After, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Owners, grants, policies, default privileges, settings, memberships: no difference, and one that says it."""
    monkeypatch.setattr("cutover.postgres.catalog.server_queries.LISTED_LARGE_OBJECTS", 5)
    ours, theirs = (after(side, ALIKE[what]) for side in pair)
    found = _compared(ours, theirs)
    assert _wrong(found) == {}
    said = found[f"INT-catalog-role-map:{pair[0].owner}"]
    assert said.data["target"] == pair[1].owner
    assert said.data["same"] == said.data["objects"] > 5


BROKEN = {
    "a type of another role": (
        "ALTER TYPE shop.size OWNER TO {reader}",
        "owner",
        "belongs to {reader} on the target, to {ours} ({theirs} on the target) on the source",
    ),
    "a large object of another role": ("ALTER LARGE OBJECT 77 OWNER TO pg_monitor", "owner", "belongs to pg_monitor"),
    "a grant less": ("REVOKE INSERT ON shop.users FROM {reader}", "acl", "lacks {reader} INSERT WITH GRANT OPTION"),
    "a grant of a column less": ("REVOKE UPDATE (email) ON shop.users FROM {reader}", "acl", "lacks {reader} UPDATE"),
    "a right of the owner more": ("GRANT TRUNCATE ON shop.users TO {owner}", "acl", "lacks owner without TRUNCATE"),
    "a policy for another role": (
        "ALTER POLICY mine ON shop.notes TO {reader}",
        "policy:shop.notes.mine",
        "the target lacks {theirs}",
    ),
    "a default privilege less": (
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA shop REVOKE SELECT ON TABLES FROM {reader}",
        "default-privileges:of {theirs} in schema shop on tables",
        "default privileges of {theirs} in schema shop on tables are missing on the target",
    ),
    "a grant to the owner of before": (
        "CREATE ROLE {ours}; GRANT SELECT ON shop.notes TO {ours}",
        "acl",
        "has {ours} SELECT more",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_one_thing_that_breaks_the_mapping_is_one_difference(
    what: str, pair: tuple[Owned, Owned], after: After
) -> None:
    """Everything else is still compared under the target's name, and so is the remedy written."""
    ours, theirs = pair
    names = {"ours": ours.owner, "theirs": theirs.owner, "reader": theirs.reader}
    statement, key, says = (text.replace("{ours}", ours.owner) for text in BROKEN[what])
    found = _wrong(_compared(after(ours, "SELECT 1"), after(theirs, statement)))
    role = f"INT-catalog-role:{ours.owner}"
    assert found.keys() - {role} == {"INT-catalog-" + key.format(**names)} | (found.keys() & {"INT-catalog"})
    (finding,) = [f for name, f in found.items() if name not in (role, "INT-catalog")]
    assert says.format(**names) in finding.observed
    assert f"OWNER TO {ours.owner}" not in finding.remedy


def test_a_large_object_of_another_role_is_found_among_many(
    pair: tuple[Owned, Owned], after: After, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranges of large objects are compared by owner and by grant, under the target's name."""
    monkeypatch.setattr("cutover.postgres.catalog.server_queries.LISTED_LARGE_OBJECTS", 5)
    many = ALIKE["many large objects"]
    ours = after(pair[0], many)
    for change in (
        "RESET ROLE; ALTER LARGE OBJECT 1002 OWNER TO {reader}",
        "REVOKE SELECT ON LARGE OBJECT 1003 FROM {reader}; GRANT SELECT ON LARGE OBJECT 1004 TO {reader}",
        "COMMENT ON LARGE OBJECT 1005 IS 'x'",
    ):
        found = _wrong(_compared(ours, after(pair[1], f"{many}; {change}")))
        assert found.keys() - {"INT-catalog"} == {"INT-catalog-large-object:0 to 9999"}, change


def test_the_schema_public_of_the_owner_of_the_database_is_that_of_pg_database_owner(
    pair: tuple[Owned, Owned], after: After
) -> None:
    """PostgreSQL 15 gives it to that role, whose one member is the owner of the database; before, to the owner."""
    ours = after(pair[0], "ALTER SCHEMA public OWNER TO {owner}")
    assert _wrong(_compared(ours, after(pair[1], "SELECT 1"))) == {}
    another = after(pair[1], "ALTER DATABASE {database} OWNER TO {reader}")
    assert "belongs to pg_database_owner" in _wrong(_compared(ours, another))["INT-catalog-owner"].observed


def test_a_setting_of_the_owner_that_the_other_has_not_is_a_difference(pair: tuple[Owned, Owned], after: After) -> None:
    """What a role's sessions begin with is part of what the application sees."""
    ours = after(pair[0], "ALTER ROLE {owner} SET statement_timeout = '31s'")
    (finding,) = [f for key, f in _wrong(_compared(ours, after(pair[1], "SELECT 1"))).items() if key != "INT-catalog"]
    assert f"setting statement_timeout of role {pair[1].owner} is missing on the target: 31s" in finding.observed


def test_a_role_that_stood_for_itself_is_nobody_elses(pair: tuple[Owned, Owned], after: After) -> None:
    """The target's owner is a role of the source too, with a grant of its own: two roles would be one."""
    ours, theirs = pair
    known = after(ours, f"CREATE ROLE {theirs.owner}")
    target = after(theirs, "SELECT 1")
    assert _wrong(_compared(known, target)) == {}, "that it is known on the source is no matter"
    itself = theirs.owner
    busy = f"CREATE ROLE {itself}; ALTER ROLE {itself} SET work_mem = '5MB'; GRANT {{reader}} TO {itself}"
    assert _wrong(_compared(after(ours, busy), target)) == {}, "nor what it does for itself"
    standing = after(ours, f"CREATE ROLE {theirs.owner}; GRANT SELECT ON shop.notes TO {theirs.owner}")
    found = _wrong(_compared(standing, target))
    assert f"{theirs.owner} is a role of its own on the source" in found["INT-catalog-owner"].observed
    assert f"OWNER TO {ours.owner}" not in found["INT-catalog-owner"].remedy
    assert _wrong(_compared(standing, target, **{ours.owner: theirs.owner})) == {}, "where it is meant"


def test_an_owner_whose_objects_went_to_several_is_compared_by_its_name(
    pair: tuple[Owned, Owned], after: After
) -> None:
    """No role has more than half of them: none stands for it."""
    scattered = "".join(
        f"ALTER {one} OWNER TO {{reader}};"
        for one in ("TABLE shop.users", "TABLE shop.notes", "VIEW shop.adults", "SCHEMA shop", "TYPE shop.size")
    )
    found = _compared(after(pair[0], "SELECT 1"), after(pair[1], scattered))
    assert not [key for key in found if key.startswith("INT-catalog-role-map")]
    assert f"to {pair[0].owner} on the source" in found["INT-catalog-owner"].observed


def test_two_owners_that_changed_places_are_a_difference(pair: tuple[Owned, Owned], after: After) -> None:
    """Both are roles of both sides: neither is taken for the other."""
    second = "CREATE TABLE public.its (a int); ALTER TABLE public.its OWNER TO {reader};"
    swapped = second + "".join(
        f"ALTER {one} OWNER TO {{reader}};" for one in ("TABLE shop.users", "TABLE shop.notes", "SCHEMA shop")
    )
    source = after(pair[1], f"{second} ALTER TYPE shop.size OWNER TO {{reader}}")
    target = after(
        pair[1], f"{swapped} ALTER TABLE public.its OWNER TO {{owner}}; ALTER TYPE shop.size OWNER TO {{owner}}"
    )
    assert "INT-catalog-owner" in _wrong(_compared(source, target))


def test_what_two_roles_had_of_each_other_is_no_difference_when_they_are_given_as_one(
    pair: tuple[Owned, Owned], after: After
) -> None:
    """Grants to each other go, default privileges add up; two values of one setting cannot both be had."""
    ours, theirs = pair
    second = (
        "CREATE ROLE second; CREATE TABLE public.its (a int); ALTER TABLE public.its OWNER TO second; "
        "GRANT SELECT ON public.its TO {owner}; GRANT SELECT ON shop.users TO second; GRANT second TO {owner}; "
        "ALTER DEFAULT PRIVILEGES FOR ROLE second IN SCHEMA shop GRANT INSERT ON TABLES TO {reader}; "
    )
    target = after(
        theirs,
        "SET LOCAL ROLE {owner}; CREATE TABLE public.its (a int); "
        "ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT INSERT ON TABLES TO {reader}",
    )
    given = {"second": theirs.owner, ours.owner: theirs.owner}
    assert _wrong(_compared(after(ours, second), target, **given)) == {}
    timeouts = "ALTER ROLE second SET lock_timeout = '1s'; ALTER ROLE {owner} SET lock_timeout = '2s'"
    found = _wrong(_compared(after(ours, second + timeouts), target, **given))
    assert [key for key in found if key.startswith("INT-catalog-role-merged")]


def test_more_power_with_which_functions_run_is_a_word(pair: tuple[Owned, Owned], after: After) -> None:
    """A role that may do more is equal all the same; where SECURITY DEFINER functions hand its power on, it is said."""
    found = _compared(after(pair[0], "SELECT 1"), after(pair[1], "ALTER ROLE {owner} CREATEROLE BYPASSRLS"))
    assert not [f for f in found.values() if f.closes_gate]
    assert "it has CREATEROLE, BYPASSRLS besides" in found[f"INT-catalog-role-map:{pair[0].owner}"].observed
    power = found[f"INT-catalog-role-power:{pair[0].owner}"].observed
    assert "SECURITY DEFINER functions run with it: shop.how_many()" in power
    assert "row-level security hides nothing from it: shop.notes" in power


def test_without_a_mapping_every_role_is_itself(pair: tuple[Owned, Owned], after: After) -> None:
    """A second look at one and the same database recognises nobody as somebody else."""
    source, target = after(pair[0], "SELECT 1"), after(pair[1], "SELECT 1")
    assert "INT-catalog-owner" in {f.id for f in compare_catalogs(source, target) if f.closes_gate}
    same = role_map(source, target, {pair[0].owner: pair[1].owner})
    assert same.given == {pair[0].owner}
    with pytest.raises(UsageError, match="There is no role nobody on the source"):
        role_map(source, target, {"nobody": pair[1].owner})
    part = replace(source, objects={})
    assert part.roles == source.roles
