"""The write freeze: writes are really refused, can be let in again, and a write in between is named."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import psycopg
import pytest

from cutover.action import Action, Change
from cutover.finding import Status
from cutover.postgres import Freeze, WritePosition, check_no_writes, check_refused, dump, write_position
from cutover.rehearsal.postgres import Server

Fresh = Callable[..., str]


@pytest.fixture
def source(pg17: Server, fresh_database: Fresh) -> str:
    """A database with one table."""
    url = fresh_database(pg17)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE public.t (id serial PRIMARY KEY, a text); INSERT INTO public.t (a) VALUES ('x')"
        )
    return url


def _apply(action: Freeze) -> Change:
    plan = action.plan()
    return Change(plan, action.apply(plan), "2026-01-01T00:00:00+00:00", 0.1)


def test_a_frozen_database_refuses_writes_and_an_undone_one_takes_them(source: str) -> None:
    """New sessions are read-only, old ones are ended; undo brings back what was."""
    action = Freeze(source)
    assert isinstance(action, Action)
    old = psycopg.connect(source, autocommit=True)
    change = _apply(action)
    assert {f.id: f.status for f in action.verify(change)} == {
        "FRZ-refused": Status.PASS,
        "FRZ-old-sessions": Status.PASS,
        "FRZ-prepared": Status.PASS,
        "FRZ-exempt": Status.PASS,
    }
    assert change.result["ended"] == 1
    with pytest.raises(psycopg.OperationalError):
        old.execute("INSERT INTO public.t (a) VALUES ('y')")
    with psycopg.connect(source, autocommit=True) as fresh, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        fresh.execute("INSERT INTO public.t (a) VALUES ('y')")
    action.undo(change)
    with psycopg.connect(source, autocommit=True) as fresh:
        fresh.execute("INSERT INTO public.t (a) VALUES ('y')")


def test_a_database_that_is_not_frozen_fails_the_check(source: str) -> None:
    """The check fails when it must: the write is accepted, and leaves nothing behind."""
    assert check_refused(source).status is Status.FAIL
    with psycopg.connect(source) as connection:
        assert connection.execute("SELECT to_regclass('public.cutover_write_probe')").fetchone() == (None,)


def test_a_session_from_before_is_found_when_it_was_not_ended(source: str) -> None:
    """Without termination the old session may go on writing, and the check says so."""
    action = Freeze(source, terminate=False)
    with psycopg.connect(source, autocommit=True, application_name="the app") as old:
        change = _apply(action)
        findings = {f.id: f for f in action.verify(change)}
        old.execute("INSERT INTO public.t (a) VALUES ('still')")
    assert findings["FRZ-old-sessions"].status is Status.FAIL
    assert "the app" in findings["FRZ-old-sessions"].observed
    action.undo(change)


def test_a_role_with_a_setting_of_its_own_is_exempt_and_named(source: str, pg17: Server) -> None:
    """A role's setting wins over the database's: its sessions write on."""
    role = f"exempt_{secrets.token_hex(3)}"
    pg17.create_role(role)
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute(f"ALTER ROLE {role} SET default_transaction_read_only = off".encode())
    try:
        action = Freeze(source)
        change = _apply(action)
        findings = {f.id: f for f in action.verify(change)}
        assert findings["FRZ-exempt"].status is Status.FAIL
        assert findings["FRZ-exempt"].observed == f"role {role} has default_transaction_read_only = off"
        assert findings["FRZ-exempt"].remedy == f'ALTER ROLE "{role}" RESET default_transaction_read_only;'
        action.undo(change)
    finally:
        pg17.execute(f"DROP ROLE {role}")


def test_freezing_twice_changes_nothing_the_second_time(source: str) -> None:
    """And its way back is the normal state: "frozen" was never how anybody left the database but we ourselves."""
    first = _apply(Freeze(source))
    again = Freeze(source, terminate=False).plan()
    assert again.empty
    assert again.before == again.after
    second = _apply(Freeze(source))
    assert check_refused(source).status is Status.PASS
    assert "RESET" in second.plan.undo
    Freeze(source).undo(second)
    assert check_refused(source).status is Status.FAIL
    Freeze(source).undo(first)
    assert check_refused(source).status is Status.FAIL


def test_the_plan_is_the_same_from_one_minute_to_the_next(source: str) -> None:
    """An approval is bound to the plan's hash, so sessions that come and go must not change it."""
    one = Freeze(source).plan()
    with psycopg.connect(source):
        assert Freeze(source).plan().hash == one.hash


def test_a_frozen_database_can_be_dumped(source: str, tmp_path: object) -> None:
    """Our own sessions and pg_dump read on."""
    change = _apply(Freeze(source))
    assert dump(source, tmp_path / "d").tables == (("public", "t"),)  # type: ignore[operator]
    Freeze(source).undo(change)


def test_no_write_is_a_pass(source: str) -> None:
    """Two looks at a quiet database."""
    before = write_position(source)
    (found,) = check_no_writes(before, write_position(source, since=before))
    assert found.status is Status.PASS
    assert WritePosition.from_dict(before.to_dict()) == before


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("INSERT INTO public.t (id, a) VALUES (50, 'y')", "public.t: 1 row inserted"),
        ("UPDATE public.t SET a = 'z'", "public.t: 1 row updated"),
        ("DELETE FROM public.t", "public.t: 1 row deleted"),
        ("TRUNCATE public.t", "public.t: truncated, rewritten or dropped"),
        ("SELECT nextval('public.t_id_seq')", "sequence public.t_id_seq moved"),
        ("CREATE TABLE public.u (a int)", "the schema was written to"),
        ("SELECT lo_from_bytea(0, 'x')", "a large object was written"),
        ("DROP TABLE public.t", "public.t: truncated, rewritten or dropped"),
    ],
)
def test_a_write_in_between_is_named_and_closes_the_gate(source: str, statement: str, named: str) -> None:
    """Insert, update, delete, truncate, a sequence, DDL, a large object: INCONCLUSIVE, with the table's name."""
    before = write_position(source, settle_s=0)
    with psycopg.connect(source, autocommit=True) as writer:
        writer.execute(statement.encode())
    (found,) = check_no_writes(before, write_position(source, settle_s=0))
    assert found.status is Status.UNKNOWN
    assert found.closes_gate
    assert named in found.observed


@pytest.mark.campaign
def test_a_write_of_an_idle_session_is_not_overlooked(source: str) -> None:
    """A session that wrote and stays open reports late: without waiting it would be missed, with waiting it is not."""
    with psycopg.connect(source, autocommit=True) as writer:
        writer.execute("INSERT INTO public.t (a) VALUES ('warm-up')")
        before = write_position(source)
        writer.execute("INSERT INTO public.t (a) VALUES ('y')")
        writer.execute("INSERT INTO public.t (a) VALUES ('z')")
        (found,) = check_no_writes(before, write_position(source, since=before))
    assert found.status is Status.UNKNOWN
    assert "public.t: 2 rows inserted" in found.observed


def test_an_open_transaction_that_wrote_is_not_a_pass(source: str) -> None:
    """What is not committed yet is counted nowhere, but may be committed in a moment."""
    before = write_position(source, settle_s=0)
    with psycopg.connect(source) as writer:
        writer.execute("INSERT INTO public.t (id, a) VALUES (99, 'y')")
        (found,) = check_no_writes(before, write_position(source, settle_s=0))
        writer.rollback()
    assert found.status is Status.UNKNOWN
    assert "still open" in found.observed


def test_work_elsewhere_on_the_server_is_no_write_here(source: str, pg17: Server, fresh_database: Fresh) -> None:
    """Another database's transactions move the log and take numbers; this database's tables are untouched."""
    other = fresh_database(pg17)
    before = write_position(source, settle_s=0)
    with psycopg.connect(other, autocommit=True) as writer:
        writer.execute("CREATE TABLE public.o (a int)")
    (found,) = check_no_writes(before, write_position(source, settle_s=0))
    assert found.status is Status.PASS
    assert "none wrote to a table here" in found.observed


def test_a_restarted_server_is_not_judged_by_its_counters(source: str) -> None:
    """Counters that were reset say nothing."""
    before = write_position(source, settle_s=0)
    raw = before.to_dict() | {"stats_reset": "2020-01-01"}
    (found,) = check_no_writes(WritePosition.from_dict(raw), before)
    assert found.status is Status.UNKNOWN


def test_sessions_that_the_role_may_not_see_into_are_not_called_gone(pg17: Server, fresh_database: Fresh) -> None:
    """The owner sees of another role's session nothing but that it is there: it is still named."""
    owner, other = (f"fz_{secrets.token_hex(4)}" for _ in range(2))
    url = fresh_database(pg17)
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            f"CREATE ROLE {owner} LOGIN PASSWORD 'x'; CREATE ROLE {other} LOGIN PASSWORD 'x'; "
            f"ALTER DATABASE {name} OWNER TO {owner}; GRANT ALL ON SCHEMA public TO {owner}".encode()
        )
    try:
        mine, theirs = (psycopg.conninfo.make_conninfo(url, user=role, password="x") for role in (owner, other))
        with psycopg.connect(theirs, autocommit=True) as old:
            old.execute("SELECT 1")
            action = Freeze(mine)
            found = {f.id: f for f in action.verify(_apply(action))}["FRZ-old-sessions"]
            assert found.status is Status.FAIL
            assert other in found.observed
    finally:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("SET default_transaction_read_only = off")
            admin.execute(f"ALTER DATABASE {name} OWNER TO CURRENT_USER".encode())
            admin.execute(f"DROP OWNED BY {owner}, {other}; DROP ROLE {owner}, {other}".encode())
