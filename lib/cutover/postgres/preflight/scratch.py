"""The schema, restored into a scratch database on the target's server: what a restore would lose, a week early."""

from __future__ import annotations

import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from cutover.errors import DatabaseError
from cutover.finding import Finding, Severity, Status
from cutover.postgres.catalog import Catalog, Restored, compare_catalogs, read_catalog
from cutover.postgres.connection import connect, describe, explain, one_line, user_of, with_database, without_secrets
from cutover.postgres.contents import leave_out_own_options
from cutover.postgres.tools import Tools, find_tools
from cutover.postgres.transfer.errors import RestoreError, read_errors
from cutover.postgres.transfer.program import run

PREFIX = "cutover_scratch_"
"""How a scratch database's name begins; one that a killed run has left is dropped by the next."""

_NAME = re.compile(PREFIX + r"[0-9a-f]{12}")
_LOCK_WAIT_MS = 30_000


class ScratchRefused(DatabaseError):
    """The target's server does not let us make a database."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """The source's schema as it was restored on the target's server; its database is there for the `with` block.

    Attributes:
        url: of the scratch database.
        errors: every error of the restore, classified.
        tool: the program, `pg_restore 17.10`.
        seconds: for dump and restore.
    """

    url: str
    errors: tuple[RestoreError, ...]
    tool: str
    seconds: float


@contextmanager
def scratch_restore(
    source_url: str,
    target_url: str,
    *,
    owner: bool = False,
    acl: bool = True,
    role: str | None = None,
    tools: Tools | None = None,
) -> Iterator[Scratch]:
    """Dump the source's schema and restore it into a new database beside the target, with the target's locale.

    The database is dropped at the end of the block; one that a killed run has left is dropped at the beginning.

    Args:
        source_url: only read.
        target_url: its server gets the scratch database; the target database itself is only read.
        owner, acl, role: as the restore of the day will have them.
        tools: the programs to use.

    Raises:
        ScratchRefused: this role may not make a database there; the message says what to grant.
        DatabaseError: a side cannot be reached, or the schema cannot be dumped.
    """
    keeper = connect(target_url, readonly=False)
    name = PREFIX + secrets.token_hex(6)
    try:
        _sweep(keeper)
        keeper.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (name,))
        _create(keeper, name, target_url)
        try:
            url = with_database(target_url, name)
            yield _restore(source_url, url, owner=owner, acl=acl, role=role, tools=tools)
        finally:
            _drop(keeper, name, target_url)
    finally:
        keeper.close()


@contextmanager
def scratch_catalog(source_url: str, target_url: str, *, tools: Tools | None = None) -> Iterator[Catalog]:
    """The catalog of the source's schema as the target's major stores and prints it (`compare_catalogs(deparsed=…)`).

    Raises:
        ScratchRefused, DatabaseError: as `scratch_restore`.
    """
    with scratch_restore(source_url, target_url, tools=tools) as scratch:
        yield read_catalog(scratch.url)


def check_schema(source_url: str, target_url: str, *, owner: bool, acl: bool, role: str | None) -> list[Finding]:
    """What the restore of the schema lost: `PRE-schema-data`, `-objects`, `-harmless`, and `-same`, what it changed."""
    try:
        with scratch_restore(source_url, target_url, owner=owner, acl=acl, role=role) as scratch:
            seen = scratch
            restored = Restored(owner=owner, acl=acl, role=role)
            same = _compared(read_catalog(source_url), read_catalog(scratch.url), restored, user_of(target_url))
    except DatabaseError as error:
        return [
            Finding(
                "PRE-schema-data",
                "The source's schema restores on the target's server",
                Status.UNKNOWN,
                Severity.MEDIUM if isinstance(error, ScratchRefused) else Severity.HIGH,
                describe(target_url),
                "the schema, dumped and restored into a scratch database",
                error.what,
                error.why or "What a restore would stumble over is not known before the trial (04_data_sync_test).",
                error.todo,
            )
        ]
    lost = {cost: [e for e in seen.errors if e.cost == cost] for cost in ("data", "object", "harmless")}
    findings = [
        _judged("data", "Every table of the source can be made on the target", Severity.BLOCKER, seen, lost["data"]),
        _judged("objects", "Every object of the source can be made on the target", Severity.HIGH, seen, lost["object"]),
    ]
    if lost["harmless"]:
        findings.append(
            Finding(
                "PRE-schema-harmless",
                "Errors of the schema's restore that cost nothing",
                Status.PASS,
                Severity.LOW,
                describe(target_url),
                observed="; ".join(_words(error) for error in lost["harmless"][:10]),
                why="The object was there already, or belongs to the service; nothing is missing by it.",
            )
        )
    # The scratch database is gone, and was called by chance: what was asked is whether the target can hold it.
    return [replace(finding, subject=describe(target_url)) for finding in (*findings, same)]


_NOT_OF_THE_SCHEMA = {
    "database",
    "database setting",
    "large object",
    "role",
    "role membership",
    "role setting",
    "sequence value",
    "subscription",
    "tablespace",
}
"""Kinds of the catalog that come with the rows, or belong to the server, so a restore of the schema has none."""


def _compared(source: Catalog, scratch: Catalog, restored: Restored, user: str) -> Finding:
    """Objects that were restored without an error, and are not what they were: 13 would find them on the day."""
    ours, theirs = _schema_of(source), _schema_of(scratch)
    seen = compare_catalogs(ours, theirs, live=True, deparsed=theirs, restored_as=restored.by(user), acl=restored.acl)
    wrong = [f for f in seen if f.status in (Status.FAIL, Status.MISSING) and f.id != "INT-catalog"]
    return Finding.check(
        "PRE-schema-same",
        "What is restored is what it was",
        wrong,
        severity=Severity.MEDIUM,
        subject=scratch.database,
        expected=f"{len(ours.objects)} objects, each the same on the target's server",
        observed="; ".join(f.observed for f in wrong[:10])
        + (f" … and {len(wrong) - 10} more" if len(wrong) > 10 else ""),
        good=f"{len(ours.objects)} objects, all the same",
        why="pg_restore did not complain, but 13_data_integrity will find these differences on the day.",
        remedy="Fix them on the source, or declare them under expected_differences.",
        data={"findings": [f.id for f in wrong[:100]]} if wrong else {},
    )


def _schema_of(catalog: Catalog) -> Catalog:
    objects = {}
    for (kind, name), one in catalog.objects.items():
        if kind not in _NOT_OF_THE_SCHEMA:
            has = {key: value for key, value in one.attributes.items() if key != "populated"}
            objects[kind, name] = replace(one, attributes=has)
    return replace(catalog, objects=objects)


def _judged(key: str, title: str, severity: Severity, seen: Scratch, errors: list[RestoreError]) -> Finding:
    words = [_words(error) for error in errors]
    more = f" … and {len(words) - 10} more" if len(words) > 10 else ""
    loss = "Rows would be lost with it." if key == "data" else "The application may need it; a grant may be missing."
    remedies = dict.fromkeys(_remedy(error) for error in errors)
    return Finding.check(
        f"PRE-schema-{key}",
        title,
        errors,
        severity=severity,
        subject=describe(seen.url),
        expected="no error of pg_restore",
        observed="; ".join(words[:10]) + more if words else f"none ({seen.tool}, {seen.seconds:.1f} s)",
        why=f"A restore of the schema into a scratch database lost this. {loss}",
        remedy="\n".join(list(remedies)[:10]),
        data={"errors": [error.to_dict() for error in errors[:100]]} if errors else {},
    )


def _words(error: RestoreError) -> str:
    return f"{error.kind} {error.object}: {error.message}".strip()


_REMEDIES: tuple[tuple[str, str], ...] = (
    (r'role "(.+?)" does not exist', 'CREATE ROLE "{0}"; on the target, or transfer without grants (`acl: false`).'),
    (r'extension "(.+?)" is not available', "Choose an engine version that offers {0}, or DROP EXTENSION it."),
    (r'permission denied to create extension "(.+?)"', "Have an administrator of the target CREATE EXTENSION {0}."),
    (r'tablespace "(.+?)" does not exist', "ALTER TABLE … SET TABLESPACE pg_default on the source (RDS has no {0})."),
    (r"permission denied to change default privileges", "GRANT the role that is named to the restoring role."),
    (r"must be superuser|permission denied to create event trigger", "Have an administrator make it, or drop it."),
    (r'unrecognized .*?"(.+?)"', "Take the setting {0} out of the source: this major does not know it."),
    (r'collation "(.+?)" for encoding', "Make the collation {0} on the target, or change the column's."),
)


def _remedy(error: RestoreError) -> str:
    for pattern, words in _REMEDIES:
        if found := re.search(pattern, error.message):
            return words.format(*found.groups())
    return f"Fix {error.kind} {error.object} on the source, or make what it needs on the target."


def _restore(source_url: str, url: str, *, owner: bool, acl: bool, role: str | None, tools: Tools | None) -> Scratch:
    clock = time.monotonic()
    with connect(source_url) as connection:
        tools = tools or find_tools(connection.info.server_version // 10000)
    with tempfile.TemporaryDirectory(prefix="cutover-schema-") as folder:
        archive = Path(folder) / "schema.dump"
        conninfo, environment = without_secrets(source_url)
        command = [str(tools.pg_dump), "--schema-only", "--format=custom", f"--file={archive}", "--no-password"]
        command += [f"--lock-wait-timeout={_LOCK_WAIT_MS}", f"--dbname={conninfo}"]
        code, stderr = run(command, environment, lambda _: None)
        if code != 0:
            words = one_line(DatabaseError(" ".join(stderr[-3:])), source_url)
            raise DatabaseError(
                f"The schema of {describe(source_url)} cannot be dumped: {words}",
                why="the dump of the day would fail the same way.",
                todo="fix what pg_dump says: a right that is missing, or a lock that is held.",
            )
        leave_out_own_options(archive)
        conninfo, environment = without_secrets(url)
        command = [str(tools.pg_restore), "--verbose", "--no-password", f"--dbname={conninfo}"]
        command += [flag for flag, wanted in (("--no-owner", not owner), ("--no-acl", not acl)) if wanted]
        command += [f"--role={role}"] if role else []
        code, stderr = run([*command, str(archive)], environment, lambda _: None)
    errors = tuple(read_errors(stderr, code))
    return Scratch(url, errors, f"pg_restore {tools.version}", round(time.monotonic() - clock, 3))


def _create(keeper: psycopg.Connection[Any], name: str, url: str) -> None:
    row = keeper.execute("SELECT to_jsonb(d) FROM pg_database d WHERE datname = current_database()").fetchone()
    about: dict[str, Any] = dict(row[0]) if row else {}
    encoding = keeper.execute("SELECT pg_encoding_to_char(%s)", (about["encoding"],)).fetchone()
    options = [("ENCODING", encoding[0] if encoding else "UTF8")]
    options += [("LC_COLLATE", about["datcollate"]), ("LC_CTYPE", about["datctype"])]
    provider = {"c": "libc", "i": "icu", "b": "builtin"}.get(str(about.get("datlocprovider", "c")), "libc")
    options.append(("LOCALE_PROVIDER", provider))
    locale = about.get("datlocale") or about.get("daticulocale")
    if provider != "libc" and locale:
        options.append(("ICU_LOCALE" if provider == "icu" else "BUILTIN_LOCALE", locale))
    if about.get("daticurules"):
        options.append(("ICU_RULES", about["daticurules"]))
    chosen = sql.SQL(" ").join(sql.SQL(f"{word} {{}}").format(sql.Literal(value)) for word, value in options)
    try:
        keeper.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 {}").format(sql.Identifier(name), chosen))
    except psycopg.errors.InsufficientPrivilege as error:
        user = keeper.info.user
        raise ScratchRefused(
            f"The role {user} may not make a scratch database on {describe(url)}: {one_line(error, url)}",
            why="The schema's restore could not be tried; 04_data_sync_test will be the first to see what it loses.",
            todo=f'ALTER ROLE "{user}" CREATEDB; on the target, then run this again.',
        ) from error
    except psycopg.Error as error:
        raise explain(error, url, "makes no scratch database") from error


def _drop(keeper: psycopg.Connection[Any], name: str, url: str) -> None:
    """Over a new session where the old one was lost: a scratch database is left behind only by a kill."""
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    try:
        keeper.execute(statement)
    except psycopg.Error:
        with suppress(psycopg.Error, DatabaseError), connect(url, readonly=False) as other:
            other.execute(statement)


def _sweep(keeper: psycopg.Connection[Any]) -> None:
    """Drop what a killed run has left: ours to drop, nobody in it, and its lock is free, so nobody is making it."""
    rows = keeper.execute(
        "SELECT datname FROM pg_database d WHERE starts_with(datname, %s) AND pg_has_role(datdba, 'USAGE') "
        "AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)",
        (PREFIX,),
    ).fetchall()
    for (name,) in rows:
        if not _NAME.fullmatch(str(name)):
            continue
        free = keeper.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (str(name),)).fetchone()
        if free and free[0]:
            with suppress(psycopg.Error):
                keeper.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(str(name))))
            keeper.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (str(name),))
