"""The stage: two homes of ShadowTwin with everything they stand on, started together and gone together."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cutover.errors import StageError
from cutover.files import write_json
from cutover.migration import REHEARSAL_ACCOUNT
from cutover.rehearsal import data, places, postgres, processes, valkey
from cutover.rehearsal.network import Network, choose_network, hold
from cutover.secrets import redact
from cutover.stage_file import stages_folder

HOSTNAME = "app.shadowtwin.example"
OLD_NAME = "replit.shadowtwin.example"
TEST_USER = "visitor@shadowtwin.example"
ADMIN_USER = "admin@shadowtwin.example"
HOMES = ("source", "target", "staging")
_READY_S = 45.0
_DUMMY = {
    "AWS_ACCESS_KEY_ID": "rehearsal",
    "AWS_SECRET_ACCESS_KEY": "rehearsal",
    "AWS_DEFAULT_REGION": "us-east-1",
}

Say = Callable[[str], None]


@dataclass
class Stage:
    """A running stage. Use `start_stage`; leaving the context stops everything and removes its folder.

    Attributes:
        folder: everything the stage writes; removed at the end.
        network: who listens where.
        values: what `stage:` references resolve to.
        descriptor: the file that other processes find the stage by; CUTOVER_STAGE names it.
        source, target: the two PostgreSQL servers, for faults and tests.
    """

    folder: Path
    network: Network
    values: dict[str, str] = field(default_factory=dict)
    descriptor: Path = Path()
    source: postgres.Server | None = None
    target: postgres.Server | None = None
    seconds: float = 0.0
    _cleanups: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def faults_file(self, home: str) -> Path:
        """The file from which the application of a home reads its faults."""
        return self.folder / "faults" / f"{home}.json"

    def inject(self, home: str, **faults: Any) -> None:
        """Let faults begin in a home (`latency_s=4`, `hang=True`, …); without any, they end."""
        write_json(self.faults_file(home), faults)

    def stop(self) -> None:
        """Stop everything; safe to call twice."""
        self._cleanups.close()

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_stage(
    *,
    rows: int = 300_000,
    empty_cloud: bool = False,
    visitors_per_s: float = 6.0,
    migration: Mapping[str, Any] | None = None,
    say: Say = lambda _: None,
) -> Stage:
    """Start everything, the slow parts side by side; under 15 s on two cores.

    Args:
        rows: how many rows ShadowTwin's database has, about.
        empty_cloud: an AWS account with nothing in it.
        visitors_per_s: how many requests the visitors send; 0 for none.
        migration: the `migration` mapping that notebooks without parameters attach to.
        say: told what is going on, one line at a time.

    Raises:
        StageError: a part did not come up; everything else has been stopped again.
    """
    began = time.monotonic()
    processes.sweep()
    stage = Stage(places.new_name("stage"), choose_network())
    reaper = processes.Reaper.of_this_process()
    try:
        reaper.claim(stage.folder).mkdir(mode=0o755, parents=True)
        stage._cleanups.callback(reaper.remove, stage.folder)
        mark = hold(stage.network)
        if mark is not None:
            stage._cleanups.callback(mark.close)
        replicates = (migration or {}).get("transfer") == "replicate"
        _Builder(stage, rows, empty_cloud, visitors_per_s, say, replicates=replicates).build()
        _announce(stage, dict(migration or {}))
    except BaseException:
        stage.stop()
        raise
    stage.seconds = time.monotonic() - began
    say(f"The stage is up after {stage.seconds:.1f} s.")
    return stage


def _announce(stage: Stage, migration: dict[str, Any]) -> None:
    folder = stages_folder() / stage.folder.name
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    processes.Reaper.of_this_process().claim(folder)
    stage._cleanups.callback(processes.Reaper.of_this_process().remove, folder)
    stage.descriptor = folder / "stage.json"
    write_json(stage.descriptor, {"pid": os.getpid(), "values": stage.values, "migration": migration})
    stage.descriptor.chmod(0o600)


class _Builder:
    """Builds a stage: databases and queues first, then the cloud, then the applications, then the visitors."""

    def __init__(
        self, stage: Stage, rows: int, empty_cloud: bool, visitors_per_s: float, say: Say, *, replicates: bool = False
    ) -> None:
        self.replicates = replicates
        self.stage, self.network, self.rows, self.say = stage, stage.network, rows, say
        self.empty_cloud, self.visitors_per_s = empty_cloud, visitors_per_s
        self.password = {role: secrets.token_urlsafe(18) for role in ("source", "target", "visitor", "admin")}
        redact.register(*self.password.values())
        self.logs = stage.folder / "logs"

    def build(self) -> None:
        """Start every part; what does not depend on each other starts side by side."""
        for folder in ("logs", "faults", "reports", "backups", "cloud"):
            (self.stage.folder / folder).mkdir()
        with ThreadPoolExecutor(max_workers=8) as pool:
            parts: list[Future[Any]] = [pool.submit(self._valkey, home) for home in HOMES]
            parts += [pool.submit(self._source), pool.submit(self._target)]
            self._note_addresses()
            for part in parts[:3]:
                part.result()
            cloud = pool.submit(self._cloud)
            for part in parts[3:]:
                part.result()
            applications = [pool.submit(self._application, home) for home in ("source", "staging")]
            facts = cloud.result()
            names = pool.submit(self._names_and_balancer, facts)
            for application in (*applications, names):
                application.result()
        if self.visitors_per_s > 0 and not self.empty_cloud:
            self._visitors(facts)

    def _note_addresses(self) -> None:
        network, stage = self.network, self.stage
        database = {
            home: f"postgresql://shadowtwin_app:{self.password['source' if home == 'source' else 'target']}"
            f"@{network.address('source-database' if home == 'source' else 'target-database')}"
            f"/{'shadowtwin_staging' if home == 'staging' else 'shadowtwin'}"
            for home in HOMES
        }
        stage.values |= {f"{home}.database_url": url for home, url in database.items()}
        stage.values |= {
            "source.app_url": f"http://{network.address('source')}",
            "source.reports": (stage.folder / "reports").as_uri(),
            "target.app_url": f"http://{network.address('balancer')}",
            "target.reports": "s3://shadowtwin-reports",
            "staging.app_url": f"http://{network.address('staging')}",
            "aws.endpoint": f"http://{network.address('cloud')}",
            "dns.resolver": network.address("dns"),
            "test.login": f"{TEST_USER}:{self.password['visitor']}",
            "admin.login": f"{ADMIN_USER}:{self.password['admin']}",
            "backups": (stage.folder / "backups").as_uri(),
            "state": str(stage.folder / "state"),
        }

    def _valkey(self, home: str) -> None:
        part = f"{home}-queue"
        folder = self.stage.folder / part
        server = valkey.start(folder, host=self.network.host(part), port=self.network.port(part))
        self.stage._cleanups.callback(server.stop)
        self.stage.values[f"{home}.redis_url"] = server.url
        redact.register(server.url)
        if home == "source":
            data.fill_queues(server.url)

    def _source(self) -> None:
        self.say("Source: PostgreSQL 17 with ShadowTwin's data …")
        network = self.network
        server = data.start_loaded(
            self.stage.folder / "source",
            rows=self.rows,
            visitor=(TEST_USER, self.password["visitor"]),
            host=network.host("source-database"),
            port=network.port("source-database"),
        )
        self.stage._cleanups.callback(server.stop)
        self.stage.source = server
        # As an administrator grants it on Neon, before a replication: the rest the owner of the tables has.
        options = "CREATEDB REPLICATION" if self.replicates else "CREATEDB"
        server.create_role("shadowtwin_app", password=self.password["source"], options=options)
        data.write_reports(self.stage.folder / "reports")

    def _target(self) -> None:
        self.say("Target: PostgreSQL 18, empty …")
        network = self.network
        server = postgres.start(
            self.stage.folder / "target",
            major=18,
            host=network.host("target-database"),
            port=network.port("target-database"),
        )
        self.stage._cleanups.callback(server.stop)
        self.stage.target = server
        server.create_role("shadowtwin_admin", options="CREATEDB CREATEROLE")
        server.execute("CREATE ROLE shadowtwin_readonly NOLOGIN")
        subscribes = ("pg_create_subscription",) if self.replicates else ()
        server.create_role(
            "shadowtwin_app", password=self.password["target"], options="CREATEDB", member_of=subscribes
        )  # CREATEDB, as the master users of Neon and RDS have it: for the scratch restore of the preflight
        for name in ("shadowtwin", "shadowtwin_staging"):
            server.create_database(name, owner="shadowtwin_app")

    def _cloud(self) -> dict[str, Any]:
        """Start the emulator; what it tells of itself once it is ready: `load_balancer`, …."""
        import bcrypt  # noqa: PLC0415 - only root of the stage needs it

        self.say(
            "AWS: the emulator" + (", an empty account …" if self.empty_cloud else " with the guide's architecture …")
        )
        stage, network = self.stage, self.network
        hashed = bcrypt.hashpw(self.password["admin"].encode(), bcrypt.gensalt(12)).decode()
        secret = stage.folder / "cloud" / "secrets.json"
        write_json(
            secret,
            {
                "database": stage.values["target.database_url"],
                "redis": stage.values["target.redis_url"],
                "admin_email": ADMIN_USER,
                "admin_password_hash": hashed,
                "openai": f"sk-{secrets.token_hex(20)}",
            },
        )
        task = stage.folder / "cloud" / "task-environment.json"
        write_json(
            task,
            {
                "REPORTS": "s3://shadowtwin-reports",
                "AWS_ENDPOINT_URL": stage.values["aws.endpoint"],
                **_DUMMY,  # what the task role gives on Fargate
                "FAULTS_FILE": str(stage.faults_file("target")),
            },
        )
        process = self._python(
            "cutover.rehearsal.cloud",
            *("--host", network.host("cloud"), "--port", str(network.port("cloud"))),
            *("--state", str(stage.folder / "cloud"), "--runtime", "processes"),
            *("--task-ips", ",".join(network.task_addresses(8))),
            *("--secrets", str(secret), "--task-env", str(task)),
            # As 07_lower_ttl leaves it two days before: nobody waits that long in a rehearsal.
            *("--hostname", HOSTNAME, "--source-name", OLD_NAME, "--ttl", "60"),
            *(["--empty"] if self.empty_cloud else []),
            name="cloud",
        )
        line = _wait_for_line(process, "ready")
        facts: dict[str, Any] = json.loads(line.partition("ready")[2].strip() or "{}")
        return facts

    def _names_and_balancer(self, facts: dict[str, Any]) -> None:
        if self.empty_cloud:
            return
        network, values = self.network, self.stage.values
        balancer = self._python(
            "cutover.rehearsal.balancer",
            *("--host", network.host("balancer"), "--port", str(network.port("balancer"))),
            *("--targets", str(self.stage.folder / "cloud" / "targets.json")),
            *(
                "--aws-endpoint",
                values["aws.endpoint"],
                "--load-balancer",
                facts["load_balancer"].split(":loadbalancer/")[1],
            ),
            *("--target-group", facts["target_group"].rpartition(":")[2]),
            name="balancer",
        )
        names = self._python(
            "cutover.rehearsal.dns",
            *("--host", network.host("dns"), "--port", str(network.port("dns"))),
            *("--aws-endpoint", values["aws.endpoint"], "--zone", "shadowtwin.example", "--homes", self._homes(facts)),
            name="dns",
        )
        _wait_for_line(balancer, "listening")
        _wait_for_line(names, "listening")

    def _application(self, home: str) -> None:
        values, network = self.stage.values, self.network
        reports = values["source.reports"]
        if home == "staging":
            (self.stage.folder / "staging-reports").mkdir()
            reports = (self.stage.folder / "staging-reports").as_uri()
        process = self._python(
            "cutover.rehearsal.shadowtwin",
            *("--host", network.host(home), "--port", str(network.port(home))),
            name=f"shadowtwin-{home}",
            env={
                "DATABASE_URL": values[f"{home}.database_url"],
                "REDIS_URL": values[f"{home}.redis_url"],
                "OPENAI_API_KEY": f"sk-{secrets.token_hex(20)}",
                "ADMIN_EMAIL": ADMIN_USER,
                "ADMIN_PASSWORD_HASH": self._light_hash(),
                "APP_VERSION": "1.0.0",
                "REPORTS": reports,
                "FAULTS_FILE": str(self.stage.faults_file(home)),
            },
        )
        _wait_for_line(process, "listening")

    def _light_hash(self) -> str:
        import bcrypt  # noqa: PLC0415

        return bcrypt.hashpw(self.password["admin"].encode(), bcrypt.gensalt(4)).decode()

    def _visitors(self, facts: dict[str, Any]) -> None:
        self._python(
            "cutover.rehearsal.visitors",
            *("--hostname", HOSTNAME, "--resolver", self.stage.values["dns.resolver"], "--homes", self._homes(facts)),
            *("--rate", str(self.visitors_per_s), "--log", str(self.stage.folder / "visitors.jsonl")),
            name="visitors",
            env={"VISITORS_LOGIN": self.stage.values["test.login"]},
        )

    def _homes(self, facts: dict[str, Any]) -> str:
        addresses = {
            OLD_NAME: self.network.address("source"),
            facts["load_balancer_dns"]: self.network.address("balancer"),
        }
        return json.dumps(addresses)

    def _python(
        self, module: str, *arguments: str, name: str, env: Mapping[str, str] | None = None
    ) -> processes.Process:
        """Start a module of ours as a process of the stage; secrets go through its environment, never its arguments."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "CUTOVER_", "PG"))}
        dummy = _DUMMY | {"MOTO_ACCOUNT_ID": REHEARSAL_ACCOUNT, "PYTHONUNBUFFERED": "1"}
        process = processes.spawn(
            [sys.executable, "-m", module, *arguments],
            name=name,
            log=self.logs / f"{name}.log",
            env=kept | dummy | dict(env or {}),
        )
        self.stage._cleanups.callback(process.stop, 3.0, polite=signal.SIGTERM)
        return process


def _wait_for_line(process: processes.Process, start: str) -> str:
    """The first line of a process's log that begins with `start`."""
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            for line in process.log.read_text(errors="replace").splitlines(keepends=True):
                if line.startswith(start) and line.endswith("\n"):
                    return line.strip()
        if not process.alive:
            break
        time.sleep(0.03)
    what = "ended before it was ready" if not process.alive else f"was not ready within {_READY_S:.0f} s"
    raise StageError(
        f"The stage's {process.name} {what}.",
        why=process.tail() or "it said nothing.",
        todo="run it again; if it happens twice, the lines above say which part of this machine is in the way.",
    )
