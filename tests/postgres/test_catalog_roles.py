"""Roles, what a role may not see, what a managed service does by itself, and findings that stay readable."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from cutover.finding import Finding, Severity, Status
from cutover.postgres import Catalog, CatalogObject, compare_catalogs, read_catalog
from cutover.rehearsal.postgres import Server

Fresh = Callable[..., str]


@dataclass(frozen=True)
class _Meant:
    kind: str
    object: str
    reason: str = "agreed with the owner"


@dataclass(frozen=True)
class _Team:
    """A database of one role, in which a group may read; the group has a member that logs in."""

    url: str
    owner: str
    group: str
    member: str


def _run(url: str, text: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(text.encode())


def _of(findings: list[Finding], *statuses: Status) -> dict[str, Finding]:
    return {f.id.removeprefix("INT-catalog-"): f for f in findings if f.status in statuses and f.id != "INT-catalog"}


@pytest.fixture
def team(pg17: Server, fresh_database: Fresh) -> Iterator[_Team]:
    """The database, its roles, and a role that has nothing to do with it."""
    owner, group, member, stranger = (f"{word}_{secrets.token_hex(3)}" for word in ("own", "grp", "mem", "zzz"))
    url = fresh_database(pg17)
    _run(
        url,
        f"CREATE ROLE {owner} LOGIN; CREATE ROLE {group}; CREATE ROLE {member} LOGIN CONNECTION LIMIT 5; "
        f"CREATE ROLE {stranger}; GRANT {group} TO {member}; CREATE TABLE public.t (a serial PRIMARY KEY); "
        f"ALTER TABLE public.t OWNER TO {owner}; GRANT SELECT ON public.t TO {group}; "
        f"ALTER ROLE {group} SET work_mem = '8MB'; ALTER ROLE {member} SET search_path TO public, pg_temp",
    )
    yield _Team(url, owner, group, member)
    _run(url, f"DROP OWNED BY {owner}, {group}, {member}; DROP ROLE {owner}, {group}, {member}, {stranger}")


def test_roles_of_the_database_are_compared_and_no_others(team: _Team) -> None:
    """Who owns, who is granted, and their members; a role that has nothing here is none of our business."""
    catalog = read_catalog(team.url)
    involved = {one.name for one in catalog.of("role") if one.attributes["involved"]}
    assert involved == {team.owner, team.group, team.member}
    assert compare_catalogs(catalog, catalog)[0].status is Status.PASS


def test_changes_of_roles_are_found_and_mended(team: _Team) -> None:
    """An attribute, a membership and two settings: one finding each, and after its remedy none."""
    before = read_catalog(team.url)
    _run(
        team.url,
        f"ALTER ROLE {team.member} CONNECTION LIMIT 3 NOLOGIN; REVOKE {team.group} FROM {team.member}; "
        f"ALTER ROLE {team.group} SET work_mem = '9MB'; ALTER ROLE {team.member} RESET search_path",
    )
    after = read_catalog(team.url)
    # Without its membership it has nothing here any more; the source says that it had.
    found = _of(compare_catalogs(before, after), Status.FAIL, Status.MISSING)
    assert found.keys() == {
        f"role:{team.member}",
        f"role-membership:{team.member} in {team.group}",
        f"role-setting:{team.group} work_mem",
        f"role-setting:{team.member} search_path",
    }
    assert "has connection limit 3 on the target, 5 on the source" in found[f"role:{team.member}"].observed
    assert f"setting work_mem of role {team.group}" in found[f"role-setting:{team.group} work_mem"].observed
    for finding in found.values():
        _run(team.url, finding.remedy)
    assert _of(compare_catalogs(before, read_catalog(team.url)), Status.FAIL, Status.MISSING) == {}


def test_a_role_that_is_missing_is_one_finding(team: _Team) -> None:
    """Its memberships and settings go with it."""
    source = read_catalog(team.url)
    gone = {k: o for k, o in source.objects.items() if not (k[0].startswith("role") and team.member in k[1])}
    found = _of(compare_catalogs(source, replace(source, objects=gone)), Status.MISSING)
    assert found.keys() == {f"role:{team.member}"}
    assert f"CREATE ROLE {team.member} LOGIN" in found[f"role:{team.member}"].remedy


def _as(team: _Team, password: str, url: str = "") -> str:
    """The URL with which the owner connects."""
    return re.sub(r"//[^@]+@", f"//{team.owner}:{password}@", url or team.url)


def test_a_role_that_is_no_superuser_says_what_it_may_not_see(
    everything17: str, team: _Team, pg17: Server, copy_of: Callable[[str], str]
) -> None:
    """Options of others' user mappings, a subscription's connection: left out by rule; sequences: not compared."""
    url = copy_of(everything17)
    password = pg17.create_role(team.owner)
    _run(
        url,
        "CREATE SUBSCRIPTION feed CONNECTION 'host=127.0.0.1 port=1 password=fish-in-the-sea' PUBLICATION upstream "
        "WITH (connect = false, slot_name = NONE)",
    )
    limited = _as(team, password, url)
    try:
        catalog = read_catalog(limited)
        assert catalog.unread.keys() == {"sequence value"}
        findings = compare_catalogs(catalog, catalog)
        left_out = _of(findings, Status.NOT_APPLICABLE)
        assert "PUBLIC SERVER warehouse" in left_out["user-mapping:unseen-options"].observed
        assert "feed" in left_out["subscription:unseen-connection"].observed
        hidden = _of(findings, Status.NOT_COMPARED)
        assert "shop.ticket" in hidden["sequence-value:unread-source"].observed
        assert findings[0].status is Status.UNKNOWN
        seen, whole = (sum(1 for o in c.objects if o[0] != "sequence value") for c in (catalog, read_catalog(url)))
        assert seen == whole, "everything else is read without being a superuser"
    finally:
        _run(url, "DROP SUBSCRIPTION feed")


def test_what_nobody_can_read_by_a_rule_that_is_not_on_the_list_is_not_compared(team: _Team) -> None:
    """Somebody can grant it, so it closes the gate."""
    plain = read_catalog(team.url)
    odd = _with(plain, _changed(plain, "table", "public.t", unreadable=["options"], options=["fillfactor=9"]))
    found = _of(compare_catalogs(plain, odd), Status.NOT_COMPARED)
    assert found.keys() == {"table:unseen-options"}


def test_where_a_subscription_connects_to_is_compared_by_superusers(team: _Team) -> None:
    """Without what may be a secret, of which only that it is set is compared."""
    feed = (
        "CREATE SUBSCRIPTION feed CONNECTION 'host=127.0.0.1 port={} password=fish-in-the-sea' PUBLICATION upstream "
        "WITH (connect = false, slot_name = NONE)"
    )
    catalogs = []
    for port in (1, 2):
        _run(team.url, feed.format(port))
        catalogs.append(read_catalog(team.url))
        _run(team.url, "DROP SUBSCRIPTION feed")
    assert "fish-in-the-sea" not in str(catalogs[0].to_dict())
    assert catalogs[0].objects["subscription", "feed"].attributes["connection"] == [
        "host=127.0.0.1",
        "password=…",
        "port=1",
    ]
    assert compare_catalogs(catalogs[0], catalogs[0])[0].status is Status.PASS
    (found,) = _of(compare_catalogs(*catalogs), Status.FAIL).values()
    assert "the target lacks port=1 and has port=2 more" in found.observed


def test_a_password_that_is_not_set_is_found_and_one_that_may_not_be_seen_is_left_out(
    team: _Team, pg17: Server
) -> None:
    """Roles come without passwords from most copies; without a superuser nobody can tell."""
    password = pg17.create_role(team.owner)
    before = read_catalog(team.url)
    findings = compare_catalogs(before, read_catalog(_as(team, password)))
    hidden = _of(findings, Status.NOT_APPLICABLE)["role:unseen-password"]
    assert team.owner in hidden.observed
    assert not hidden.closes_gate
    _run(team.url, f"ALTER ROLE {team.owner} PASSWORD NULL")
    found = _of(compare_catalogs(before, read_catalog(team.url)), Status.FAIL)
    assert "has no password on the target" in found[f"role:{team.owner}"].observed


def test_a_grant_on_a_parameter_is_compared(team: _Team) -> None:
    """GRANT SET ON PARAMETER is in no schema and in no dump of a database."""
    _run(team.url, f"GRANT SET ON PARAMETER log_statement TO {team.group}")
    before = read_catalog(team.url)
    _run(team.url, f"REVOKE SET ON PARAMETER log_statement FROM {team.group}")
    (found,) = _of(compare_catalogs(before, read_catalog(team.url)), Status.MISSING).values()
    assert found.observed == f"grants on PARAMETER log_statement are missing on the target: {team.group} SET"
    _run(team.url, found.remedy)
    assert _of(compare_catalogs(before, read_catalog(team.url)), Status.MISSING) == {}


def test_no_secret_is_in_a_catalog(everything17: str) -> None:
    """Passwords of user mappings and foreign tables are masked; that they are set is compared."""
    catalog = read_catalog(everything17)
    assert "fish-in-the-sea" not in str(catalog.to_dict())
    assert catalog.objects["user mapping", "PUBLIC SERVER warehouse"].attributes["options"] == [
        "password=…",
        "user=reader",
    ]
    assert Catalog.from_dict(catalog.to_dict()) == catalog


def _with(catalog: Catalog, *objects: CatalogObject) -> Catalog:
    return replace(catalog, objects={**catalog.objects, **{(o.kind, o.name): o for o in objects}})


def _role(name: str, **attributes: object) -> CatalogObject:
    plain = dict.fromkeys(
        ("login", "superuser", "inherit", "createrole", "createdb", "replication", "bypassrls"), False
    )
    return CatalogObject("role", name, "", {**plain, "involved": True, **attributes})


def _changed(catalog: Catalog, kind: str, name: str, **attributes: object) -> CatalogObject:
    one = catalog.objects[kind, name]
    return replace(one, attributes={**one.attributes, **attributes})


def test_what_a_managed_service_does_by_itself_is_shown_and_does_not_close(team: _Team) -> None:
    """RDS has roles of its own, owns what it must, and gives nobody SUPERUSER: WAIVED; judged when asked to."""
    plain = read_catalog(team.url)
    source = _with(plain, _role("boss", superuser=True, login=True))
    target = _with(
        plain,
        _role("boss", login=True),
        _role("rdsadmin", superuser=True),
        _role("rds_superuser"),
        _changed(plain, "schema", "public", owner="rdsadmin"),
        _changed(plain, "table", "public.t", acl=[f"{team.group} SELECT", "rds_superuser SELECT"]),
    )
    findings = compare_catalogs(source, target)
    waived = _of(findings, Status.WAIVED)
    assert waived.keys() == {"role:boss", "role:rdsadmin", "role:rds_superuser", "owner:declared", "acl:declared"}
    assert "Amazon RDS gives these rights to nobody" in waived["role:boss"].why
    assert not any(f.closes_gate for f in findings)
    judged = compare_catalogs(source, target, services=False)
    assert _of(judged, Status.FAIL).keys() == {"role:boss", "role:rdsadmin", "role:rds_superuser", "owner", "acl"}
    # What the application lost on the way is no service's doing.
    lost = _with(target, _changed(plain, "table", "public.t", acl=["rds_superuser SELECT"]))
    assert "acl" in _of(compare_catalogs(source, lost), Status.FAIL)


def test_owners_are_as_meant_where_the_restore_was_without_owners_by_choice(team: _Team) -> None:
    """Everything belongs to the restoring role: WAIVED; what belongs to a third role is not."""
    plain = read_catalog(team.url)
    target = _with(plain, _changed(plain, "table", "public.t", owner="restorer"))
    assert "owner" in _of(compare_catalogs(plain, target), Status.FAIL)
    meant = compare_catalogs(plain, target, restored_as="restorer")
    assert "--no-owner by choice" in _of(meant, Status.WAIVED)["owner:declared"].why
    third = _with(plain, _changed(plain, "table", "public.t", owner="somebody"))
    assert "owner" in _of(compare_catalogs(plain, third, restored_as="restorer"), Status.FAIL)


def test_a_declaration_covers_what_it_names_and_nothing_else(team: _Team) -> None:
    """By kind and name, wild cards in both; one that matches nothing is shown as stale."""
    plain = read_catalog(team.url)
    target = _with(plain, _changed(plain, "table", "public.t", persistence="unlogged", comment="new"))
    findings = compare_catalogs(plain, target, [_Meant("comment", "public.*"), _Meant("indx", "*")])
    assert _of(findings, Status.WAIVED).keys() == {"comment:table public.t"}
    assert _of(findings, Status.FAIL).keys() == {"table:public.t", "INT-expected:indx:*"}
    stale = _of(findings, Status.FAIL)["INT-expected:indx:*"]
    assert stale.severity is Severity.LOW
    assert "agreed with the owner" in stale.expected


def test_many_differences_of_a_kind_share_a_finding(pg17: Server, fresh_database: Fresh) -> None:
    """Readable with two thousand of them: the first are named, the rest counted, all of them in its data."""
    source, target = fresh_database(pg17), fresh_database(pg17)
    tables = "".join(f"CREATE TABLE public.t{n} (a int, b int);" for n in range(40))
    _run(source, tables + "".join(f"CREATE INDEX i{n} ON public.t{n} (a);" for n in range(40)))
    _run(target, tables)
    findings = compare_catalogs(read_catalog(source), read_catalog(target))
    (found,) = _of(findings, Status.MISSING).values()
    assert found.id == "INT-catalog-index"
    assert found.observed.startswith("40 differ: index public.i0 is missing on the target")
    assert found.observed.endswith("… and 20 more")
    assert len(found.observed) < 4000
    assert len(found.data["differences"]) == 40
    assert found.remedy.count("CREATE INDEX") == 20
    assert all(d["remedy"].startswith("CREATE INDEX") for d in found.data["differences"])


def test_many_large_objects_are_taken_together_by_ranges(
    fresh_database: Fresh, pg17: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million of them are no million findings: the range that holds the changed one is named."""
    monkeypatch.setattr("cutover.postgres.catalog.server_queries.LISTED_LARGE_OBJECTS", 3)
    url = fresh_database(pg17)
    _run(url, "SELECT lo_create(n) FROM unnest(ARRAY[11, 12, 20013, 20014, 20015]) n")
    before = read_catalog(url)
    assert [one.name for one in before.of("large object")] == ["0 to 9999", "20000 to 29999"]
    _run(url, "GRANT SELECT ON LARGE OBJECT 20014 TO PUBLIC")
    found = _of(compare_catalogs(before, read_catalog(url)), Status.FAIL)
    assert found.keys() == {"large-object:20000 to 29999"}


@pytest.mark.campaign
def test_two_thousand_tables_are_read_and_compared(pg17: Server, fresh_database: Fresh, tmp_path: Path) -> None:
    """26,000 objects: read with one query for each kind, whatever their number, and equal to themselves."""
    url = fresh_database(pg17)
    for low in range(0, 2000, 200):
        _run(
            url,
            "".join(
                f"CREATE TABLE public.t{n} (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text NOT NULL, "
                f"b numeric, c timestamptz, d int); CREATE INDEX t{n}_a ON public.t{n} (lower(a)); "
                f"CREATE VIEW public.v{n} AS SELECT id, a FROM public.t{n};"
                for n in range(low, low + 200)
            ),
        )
    catalog = read_catalog(url)
    assert catalog.unread == {}
    findings = compare_catalogs(catalog, read_catalog(url))
    assert findings[0].status is Status.PASS
    assert findings[0].data["objects"] > 20_000


def test_an_applications_role_is_no_services_however_it_is_called(team: _Team) -> None:
    """`rds_reporting` is a person's choice of a name: that it lost its grants, or owns a table, is a difference."""
    plain = read_catalog(team.url)
    source = _with(
        plain, _role("rds_reporting", login=True), _changed(plain, "table", "public.t", acl=["rds_reporting SELECT"])
    )
    target = _with(
        plain,
        _role("rdsadmin", superuser=True),
        _changed(plain, "table", "public.t", acl=[], owner="rds_reporting"),
    )
    failed = {key for status in (Status.FAIL, Status.MISSING) for key in _of(compare_catalogs(source, target), status)}
    assert {"role:rds_reporting", "owner", "acl"} <= failed
