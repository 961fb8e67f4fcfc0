"""A small migration in real parts: two databases, two Redis databases, an application at each end, an AWS account."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import psycopg
import redis
from standin import client, say, web_server

from cutover import aws
from cutover.action import Action, Change
from cutover.finding import Finding
from cutover.migration import Migration
from cutover.params import from_dict
from cutover.postgres import replication
from cutover.procedures import transfer
from cutover.step import Journal, RunFolder
from cutover.step.journal import FileStore

THINGS = """
CREATE TABLE public.users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL);
CREATE TABLE public.sessions (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL);
CREATE MATERIALIZED VIEW public.busy AS SELECT email, count(*) AS times FROM public.sessions GROUP BY 1;
INSERT INTO public.users (email) SELECT 'u' || n || '@shadowtwin.example' FROM generate_series(1, 200) n;
"""
VISITOR, ADMIN = "visitor@shadowtwin.example:a-password", "admin@shadowtwin.example:another-password"
OLD_NAME = "replit.shadowtwin.example"
REPORT = b"%PDF-1.7 a report"
DUE = 9_000_000_000_000
"""When the job that waits is due, in milliseconds: not today."""


@dataclass(frozen=True)
class Context:
    """All that a procedure needs."""

    name: str
    migration: Migration
    journal: Journal
    run: RunFolder


class Store(FileStore):
    """A journal's file that does something before or after a line is written."""

    def __init__(self, path: Path, said: Sequence[str], do: Callable[[], object], *, after: bool) -> None:
        super().__init__(path)
        self._said, self._do, self._after = said, do, after

    def append(self, line: str) -> None:
        """Write it; the first line that says all of it counts."""
        ours = bool(self._said) and all(one in line for one in self._said)
        if ours:
            self._said = ()
        if ours and not self._after:
            self._do()
        super().append(line)
        if ours and self._after:
            self._do()


@dataclass
class Application:
    """A shop on one database: visitors sign in, which writes a session; its administrator closes it for them."""

    database: str
    closed: bool = False
    stuck: bool = False
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """One request."""
        asked = (handler.command, handler.path)
        told = json.loads(body or b"{}")
        if asked == ("POST", "/api/auth/login") and told["email"] == ADMIN.partition(":")[0]:
            self._say(handler, 200, {"token": "admin"})
        elif asked == ("PUT", "/api/admin/maintenance"):
            if not self.stuck:
                self.closed = told["enabled"]
            self._say(handler, 500 if self.stuck else 200, {"enabled": self.closed})
        elif asked == ("GET", "/api/health"):
            checks = dict.fromkeys(("database", "redis", "memory"), "healthy")
            told = {
                "status": "healthy",
                "version": "1.1.0",
                "checks": checks,
                "timestamp": f"{datetime.now(UTC):%FT%TZ}",
            }
            self._say(handler, 200, told)
        elif self.closed:
            self._say(handler, 503, {"error": "maintenance"}, retry=True)
        elif asked == ("POST", "/api/auth/login"):
            self._sign_in(handler, told["email"])
        else:
            self._say(handler, 401, {"error": "unauthorized"})

    def _sign_in(self, handler: BaseHTTPRequestHandler, email: str) -> None:
        try:
            with psycopg.connect(self.database, autocommit=True) as connection:
                connection.execute("INSERT INTO public.sessions (email) VALUES (%s)", (email,))
        except psycopg.Error as error:
            self._say(handler, 503, {"error": str(error)})
        else:
            self._say(handler, 200, {"token": "a-session"})

    @staticmethod
    def _say(handler: BaseHTTPRequestHandler, status: int, told: object, *, retry: bool = False) -> None:
        if not retry:
            say(handler, status, json.dumps(told).encode(), "application/json")
            return
        text = json.dumps(told).encode()
        handler.send_response(status)
        handler.send_header("Retry-After", "30")
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)


@dataclass
class Night:
    """What a test of a procedure looks at and changes.

    Attributes:
        raw: the parameters, below `migration`.
        folder: holds the state, the runs and both stores of reports.
        source, target: the databases, as their owners enter them.
        root: both as the superuser does.
        here, there: the Redis of either side.
        old, new: the applications.
        zone: of the public name.
    """

    raw: dict[str, Any]
    folder: Path
    source: str
    target: str
    root: tuple[str, str]
    here: redis.Redis
    there: redis.Redis
    old: Application
    new: Application
    endpoint: str
    zone: str
    findings: dict[str, Finding] = field(default_factory=dict)

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.folder / "journal.jsonl"

    def context(self, name: str = "12_data_migration", store: FileStore | None = None) -> Context:
        """A step at work, with a run's folder of its own."""
        migration = from_dict(self.raw, "the test").migration
        run = RunFolder.create(self.folder / "outputs", migration.environment, name)
        return Context(name, migration, Journal(store or FileStore(self.journal), run=run.name, step=name), run)

    @property
    def link(self) -> replication.Link:
        """The replication."""
        return transfer.link_of(self.context().migration)

    def follow(self) -> None:
        """What notebook 08 leaves: a copy that follows."""
        context = self.context("08_replication")
        carry_out(context, transfer.follow_change(context, jobs=1))

    def switch_over(self, context: Context | None = None, *, longest: float = 60.0) -> Change:
        """What notebook 12 does; what it found is kept by id."""
        context = context or self.context()
        action = transfer.transfer_change(context, jobs=1, longest=longest, drain=1.0)
        change, self.findings = carry_out(context, action)
        return change

    def killed_switch_over(self, *said: str, after: bool = False) -> None:
        """The same in a process that is killed before (or after) a line of the journal that says all of this."""
        asked = {"raw": self.raw, "folder": str(self.folder), "said": said, "after": after}
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(
            [sys.executable, "-m", "night", json.dumps(asked)],
            check=False,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert run.returncode == -signal.SIGKILL, run.stdout + run.stderr

    def closing(self) -> set[str]:
        """The ids of what closed the gate."""
        return {key for key, finding in self.findings.items() if finding.closes_gate}

    def assert_users_are_at_the_source(self) -> None:
        """The one good end: everything is as before, and the copy goes on following."""
        assert takes_writes(self.source)
        assert not takes_writes(self.target)
        assert not self.old.closed
        assert not self.here.hexists("bull:mail:meta", "paused")
        assert not self.there.keys("bull:*")
        assert self.named() == OLD_NAME
        sql(self.source, "INSERT INTO public.users (email) VALUES ('late@shadowtwin.example')")
        found = transfer.check_followed(self.context("08_replication"), settle_s=10)
        assert [f.id for f in found if f.closes_gate] == []

    def assert_users_are_at_the_target(self) -> None:
        """The other: everything is over there, and nothing of the replication is left."""
        assert takes_writes(self.target)
        assert not takes_writes(self.source)
        assert self.old.closed
        assert self.named().endswith(".elb.amazonaws.com")
        assert replication.link_state(self.link).nothing
        assert self.there.zcard("bull:mail:delayed") == 1
        assert not self.there.hexists("bull:mail:meta", "paused")
        assert rows(self.target, "SELECT count(*) FROM public.users") == rows(
            self.source, "SELECT count(*) FROM public.users"
        )

    def named(self) -> str:
        """Where the public name leads."""
        route53 = client("route53", self.endpoint)
        records = route53.list_resource_record_sets(HostedZoneId=self.zone)["ResourceRecordSets"]
        (record,) = (r for r in records if r["Type"] in ("A", "CNAME"))
        if "AliasTarget" in record:
            return str(record["AliasTarget"]["DNSName"]).rstrip(".")
        return str(record["ResourceRecords"][0]["Value"])

    def account(self, context: Context) -> aws.Account:
        """The AWS account."""
        return aws.Account(context.migration)


def carry_out(context: Context, action: Action | None) -> tuple[Change, dict[str, Finding]]:
    """Plan, apply, journal and verify, as a step does once the plan is approved."""
    assert action is not None
    plan = action.plan()
    context.journal.write("change-begun", plan=plan.to_dict(), approver="ada")
    change = Change(plan, action.apply(plan), "2026-11-23T12:00:00+00:00", 1.0)
    context.journal.write("change", change=change.to_dict())
    return change, {f.id: f for f in action.verify(change)}


def sql(url: str, statement: str) -> None:
    """One statement, past a freeze."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT set_config('default_transaction_read_only', 'off', false)")
        connection.execute("SET synchronous_commit = on")  # a stream carries only what is on the disk
        connection.execute(statement.encode())


def rows(url: str, query: str) -> list[Any]:
    """What a query gives."""
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def takes_writes(url: str) -> bool:
    """Whether an ordinary session may write."""
    return rows(url, "SHOW default_transaction_read_only") == [("off",)]


@contextmanager
def application(database: str) -> Iterator[Application]:
    """A running application."""
    app = Application(database)
    with web_server(app.answer) as address:
        app.url = f"http://{address}"
        yield app


def _main(asked: dict[str, Any]) -> None:
    """The switch-over in a process of its own, to be killed."""
    folder = Path(asked["folder"])
    store = Store(
        folder / "journal.jsonl", asked["said"], lambda: os.kill(os.getpid(), signal.SIGKILL), after=asked["after"]
    )
    migration = from_dict(asked["raw"], "the test").migration
    run = RunFolder.create(folder / "outputs", migration.environment, "12_data_migration")
    context = Context("12_data_migration", migration, Journal(store, run=run.name, step="12_data_migration"), run)
    carry_out(context, transfer.transfer_change(context, jobs=1, longest=60.0, drain=1.0))


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
