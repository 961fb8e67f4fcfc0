"""A login trigger that writes: named before the freeze, and no lock-out while it stands."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from cutover.action import Change
from cutover.errors import DatabaseError
from cutover.finding import Finding, Status
from cutover.postgres import Freeze, check_refused, connect, dump, preflight, write_position
from cutover.postgres.connection import TAKES_WRITES, forced, parameters, start_up, without_secrets
from cutover.postgres.replication import Link, allow_writes, link_state
from cutover.rehearsal.postgres import Server

WRITES = "INSERT INTO public.logins (who) VALUES (session_user)"
POLITE = f"IF current_setting('transaction_read_only') = 'off' THEN {WRITES}; END IF"
COUNTS = "PERFORM nextval('public.numbers')"
LEAVES = (
    "IF current_setting('transaction_read_only') = 'on' THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF"
)

Make = Callable[[str], "Database"]


@dataclass
class Database:
    """A database with one table, entered by an ordinary role that owns it, and with a login trigger of a superuser."""

    url: str
    admin_url: str

    def logins(self) -> int:
        """How many rows the trigger wrote."""
        with psycopg.connect(self.admin_url, options=f"{TAKES_WRITES} -c event_triggers=off") as connection:
            row = connection.execute("SELECT count(*) FROM public.logins").fetchone()
        return int(row[0]) if row else 0


@pytest.fixture
def make(pg17: Server) -> Iterator[Make]:
    """`make(body)`: a database whose login trigger runs these statements."""
    made: list[str] = []

    def database(body: str) -> Database:
        name = f"owner_{secrets.token_hex(4)}"
        pg17.create_role(name)
        made.append(name)
        url = pg17.create_database(name, name)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE public.logins (who text); CREATE TABLE public.t (id int PRIMARY KEY); "
                "CREATE SEQUENCE public.numbers"
            )
        with psycopg.connect(pg17.url(name), autocommit=True) as admin:
            admin.execute(
                f"CREATE FUNCTION public.greet() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN {body}; END $$; "
                "CREATE EVENT TRIGGER greet ON login EXECUTE FUNCTION public.greet()".encode()
            )
        return Database(url, pg17.url(name))

    yield database
    for name in made:
        pg17.drop_database(name)
        pg17.execute(f'DROP ROLE "{name}"')


def freeze(url: str) -> tuple[Freeze, Change]:
    """Freeze it."""
    action = Freeze(url)
    plan = action.plan()
    return action, Change(plan, action.apply(plan), "", 0.0)


def of(findings: list[Finding], key: str) -> Finding:
    """The one finding of that id."""
    (found,) = (f for f in findings if f.id == key)
    return found


@pytest.mark.parametrize("body", [WRITES, COUNTS, LEAVES])
def test_a_frozen_database_that_lets_nobody_in_is_looked_at_and_let_go(make: Make, tmp_path: Path, body: str) -> None:
    """Verify proves the freeze, pg_dump reads, undo ends it: all by an ordinary role; then everybody is in again."""
    there = make(body)
    action, change = freeze(there.url)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(there.url)
    assert [f.id for f in action.verify(change) if f.status is not Status.PASS] == []
    write_position(there.url, settle_s=0)
    if body == WRITES:
        assert ("public", "t") in dump(there.url, tmp_path / "dump").tables
    another = Freeze(there.url)  # of another process, which knows of the freeze from its plan alone
    assert another.undo(Change(another.plan(), {}, "", 0.0))["default_transaction_read_only"] is None
    assert check_refused(there.url).status is Status.FAIL
    with psycopg.connect(there.url) as users:
        users.execute("INSERT INTO public.t VALUES (1)")


def test_the_guard_of_a_copy_is_lifted_all_the_same(make: Make) -> None:
    """A target refuses others' writes as a frozen source does."""
    there = make(WRITES)
    freeze(there.url)
    link = Link(there.url, there.url)
    assert link_state(link).guarded
    allow_writes(link)
    assert not link_state(link).guarded
    psycopg.connect(there.url).close()


def test_our_looks_write_nothing_where_a_trigger_asks_first(make: Make) -> None:
    """One that writes only where it may lets us in like everybody: nothing is forced, and no row comes of a look."""
    there = make(POLITE)
    freeze(there.url)
    before = there.logins()
    with connect(there.url) as connection:
        assert not forced(connection)
    assert check_refused(there.url).status is Status.PASS
    assert there.logins() == before


def test_a_write_is_not_called_refused_where_only_the_connection_is(make: Make, pg17: Server) -> None:
    """Nobody gets in for another reason than the freeze: not known."""
    there = make("NULL")
    pg17.execute(f'ALTER DATABASE "{parameters(there.url)["dbname"]}" ALLOW_CONNECTIONS false')
    assert check_refused(there.url).status is Status.UNKNOWN


def test_both_refusals_are_said_once_where_nothing_helps(make: Make) -> None:
    """A trigger that always raises: its words, no password, and not twice."""
    there = make("RAISE EXCEPTION 'closed for today'")
    with pytest.raises(DatabaseError, match="closed for today") as caught:
        connect(there.url)
    assert caught.value.what.count("closed for today") == 1
    assert parameters(there.url)["password"] not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (WRITES, Status.FAIL, "cannot execute INSERT in a read-only transaction"),
        (COUNTS, Status.FAIL, "cannot execute nextval"),
        (POLITE, Status.UNKNOWN, "other roles were not tried"),
    ],
)
def test_a_login_trigger_is_a_blocker_before_the_freeze(make: Make, pg18: Server, fresh_database: Callable[..., str],
                                                        body: str, status: Status, words: str) -> None:  # fmt: skip
    """Tried in a session that takes no writes; never a pass, for what it does to other roles is not known."""
    there, target = make(body), fresh_database(pg18)
    found = of(preflight(there.url, target, scratch=False), "PRE-login-triggers")
    assert (found.status, found.closes_gate) == (status, True)
    assert words in found.observed
    assert "ALTER EVENT TRIGGER greet DISABLE" in found.remedy
    with psycopg.connect(there.admin_url, autocommit=True) as admin:
        admin.execute("ALTER EVENT TRIGGER greet DISABLE")
    assert of(preflight(there.url, target, scratch=False), "PRE-login-triggers").status is Status.PASS


class Pooler:
    """A door before a server that treats start-up options as poolers do: refuses them, or leaves them out."""

    def __init__(self, server: Server, *, refuses: bool) -> None:
        self._server, self._refuses, self._open = server, refuses, True
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._door.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Nobody comes in any more."""
        self._door.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, suppress(OSError, ValueError):
            packet = self._packet(client)
            while packet[:4] in (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30"):  # TLS or GSS, please
                client.sendall(b"N")
                packet = self._packet(client)
            fields = packet[4:].split(b"\0")
            given = dict(zip(fields[::2], fields[1::2], strict=False))
            if given.pop(b"options", None) and self._refuses:
                words = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
                client.sendall(b"E" + (len(words) + 4).to_bytes(4, "big") + words)
                return
            given.pop(b"", None)
            body = packet[:4] + b"".join(k + b"\0" + v + b"\0" for k, v in given.items()) + b"\0"
            with socket.create_connection((self._server.host, self._server.port)) as server:
                server.sendall((len(body) + 4).to_bytes(4, "big") + body)
                threading.Thread(target=self._pass, args=(server, client), daemon=True).start()
                self._pass(client, server)

    @staticmethod
    def _packet(client: socket.socket) -> bytes:
        length = int.from_bytes(client.recv(4, socket.MSG_WAITALL), "big")
        return client.recv(length - 4, socket.MSG_WAITALL)

    @staticmethod
    def _pass(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize(("refuses", "words"), [(True, "unsupported startup parameter"), (False, "was left out")])
def test_a_pooler_that_takes_no_option_is_named_before_the_freeze(
    make: Make, pg17: Server, pg18: Server, fresh_database: Callable[..., str], refuses: bool, words: str
) -> None:
    """The direct address is asked for while there is time; behind the pooler the freeze would be a lock-out."""
    there, target = make(WRITES), fresh_database(pg18)
    with closing(Pooler(pg17, refuses=refuses)) as door:
        pooled = make_conninfo(there.url, host="127.0.0.1", port=door.port)
        findings = preflight(pooled, target, scratch=False)
        seen = of(findings, "PRE-pooler")
        assert (seen.status, seen.closes_gate) == (Status.FAIL, True)
        assert words in seen.observed
        assert "direct URL" in seen.remedy
        assert of(findings, "PRE-login-triggers").status is Status.UNKNOWN
        _, change = freeze(there.url)
        with pytest.raises(DatabaseError, match="read-only transaction") as caught:
            connect(pooled)
        assert ("the server's own address" in caught.value.todo) is refuses
        Freeze(there.url).undo(change)
    assert of(preflight(there.url, target, scratch=False), "PRE-pooler").status is Status.PASS


def test_an_option_joins_those_that_are_there(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the URL, or of PGOPTIONS: some services find the server by them, and ours must not hide them."""
    there = make("NULL; IF current_setting('application.place', true) IS NULL THEN RAISE EXCEPTION 'where to?'; END IF")
    there.url = make_conninfo(there.url, options="-c application.place=here")
    assert start_up(there.url, TAKES_WRITES) == ""
    conninfo, _ = without_secrets(there.url, TAKES_WRITES)
    assert parameters(conninfo)["options"] == f"-c application.place=here {TAKES_WRITES}"
    bare = make_conninfo(**(parameters(there.url) | {"options": ""}))
    assert "where to?" in start_up(bare, TAKES_WRITES)
    monkeypatch.setenv("PGOPTIONS", "-c application.place=there")
    assert start_up(bare, TAKES_WRITES) == ""
