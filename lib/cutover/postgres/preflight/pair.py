"""Both sides together: versions, text, extensions, roles, room, and a target that is ready to be filled."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import psycopg

from cutover.finding import Finding, Severity, Status
from cutover.postgres.connection import one_line
from cutover.postgres.facts import ServerFacts
from cutover.postgres.preflight.query_checks import Connection
from cutover.postgres.transfer import unfinished_restore
from cutover.postgres.transfer.mark import objects_in
from cutover.text import size

_ROOM = 1.5
"""Times the source's size that the target wants: data and indexes, sorts that build them, WAL (our rule of thumb)."""


def versions(source: ServerFacts, target: ServerFacts) -> Finding:
    """`PRE-versions`."""
    return Finding.check(
        "PRE-versions",
        "The target's PostgreSQL is at least as new as the source's",
        target.major < source.major,
        severity=Severity.BLOCKER,
        subject=target.described,
        expected=f"at least {source.major}",
        observed=target.version,
        why="A dump does not restore into an older major.",
        remedy=f"Create the target with engine version {source.major} or newer.",
    )


def encoding(source: ServerFacts, target: ServerFacts) -> Finding:
    """`PRE-encoding`."""
    why = "Text may not fit, or change its bytes."
    return _same("encoding", "encoding", source.encoding, target.encoding, target, why, Severity.BLOCKER)


def collation(source: ServerFacts, target: ServerFacts) -> Finding:
    """`PRE-collation`: the databases' own."""
    ours, theirs = (f"{facts.collation} ({facts.provider})" for facts in (source, target))
    why = "Sort order and what unique indexes hold equal may differ."
    return _same("collation", "collation", ours, theirs, target, why, Severity.MEDIUM)


def _same(key: str, word: str, ours: str, theirs: str, target: ServerFacts, why: str, severity: Severity) -> Finding:
    return Finding.check(
        f"PRE-{key}",
        f"Both databases have the same {word}",
        ours != theirs,
        severity=severity,
        subject=target.described,
        expected=ours,
        observed=theirs,
        why=why,
        remedy="CREATE DATABASE … TEMPLATE template0 ENCODING … LOCALE …; as the source has them.",
    )


_VERSIONS = """
SELECT 'the database' AS name, to_jsonb(d) ->> 'datcollversion' AS stored,
       CASE WHEN to_regprocedure('pg_database_collation_actual_version(oid)') IS NOT NULL
            THEN pg_database_collation_actual_version(d.oid) END AS now,
       CASE d.datlocprovider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' ELSE 'builtin' END AS provider
FROM pg_database d WHERE d.datname = current_database()
"""
_COLLATIONS = """
SELECT DISTINCT c.collname, coalesce(to_jsonb(c) ->> 'collversion', ''),
       coalesce(pg_collation_actual_version(c.oid), '')
FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
WHERE n.nspname = 'pg_catalog' AND c.collname NOT IN ('default', 'C', 'POSIX')
  AND EXISTS (SELECT FROM pg_attribute a JOIN pg_class r ON r.oid = a.attrelid JOIN pg_namespace s
              ON s.oid = r.relnamespace WHERE a.attcollation = c.oid AND NOT a.attisdropped
              AND s.nspname !~ '^pg_' AND s.nspname <> 'information_schema')
ORDER BY 1
"""


def collation_versions(ours: Connection, theirs: Connection, target: ServerFacts) -> list[Finding]:
    """`PRE-collation-current`, `PRE-collation-versions`, `PRE-collations`: what sorts text on each side."""
    try:
        here, there = ours.execute(_VERSIONS).fetchone(), theirs.execute(_VERSIONS).fetchone()
        used = ours.execute(_COLLATIONS).fetchall()
        offered = {str(row[0]) for row in theirs.execute("SELECT collname FROM pg_collation").fetchall()}
    except psycopg.Error as error:
        title = "Text sorts the same way on both sides"
        return [_unknown("collation-versions", title, Severity.LOW, target, error)]
    nobody = ("", None, None, "")
    return sorts(here or nobody, there or nobody, used, offered, target)


def sorts(
    here: tuple[Any, ...],
    there: tuple[Any, ...],
    used: Sequence[tuple[Any, ...]],
    offered: Collection[str],
    target: ServerFacts,
) -> list[Finding]:
    """Judge what sorts text on each side.

    Args:
        here, there: of the databases: name, version that was recorded, version now, provider.
        used: of the collations that the source's columns name: name, version recorded, version now.
        offered: names of the target's collations.
        target: where it will be.
    """
    (_, stored, now, provider), (_, _, its, its_provider) = here, there
    outdated = ["the database"] if stored and now and stored != now else []
    outdated += [str(name) for name, was, is_now in used if was and is_now and was != is_now]
    absent = [str(name) for name, _, _ in used if str(name) not in offered]
    moved = provider != "builtin" and (provider, now) != (its_provider, its) and bool(now or its)
    return [
        Finding.check(
            "PRE-collation-current",
            "The source's indexes were built with the sort order that its system has now",
            outdated,
            severity=Severity.MEDIUM,
            subject=target.described,
            expected=f"version {now}" if now else "a collation without versions",
            observed=f"built with another: {', '.join(outdated)}" if outdated else "the same",
            why="An index on text may be corrupt: rows not found, or duplicates in a unique one, which stop its "
            "restore.",
            remedy="REINDEX DATABASE …; on the source, then ALTER DATABASE … REFRESH COLLATION VERSION;",
        ),
        Finding.check(
            "PRE-collation-versions",
            "Text sorts the same way on both sides",
            moved,
            severity=Severity.LOW,
            subject=target.described,
            expected=f"{provider} {now or 'without a version'}",
            observed=f"{its_provider} {its or 'without a version'}",
            why="The restore builds every index anew, so none is corrupt; lists may come in another order, ranges over "
            "text may hold other rows.",
            remedy='Test what sorts by text, or use COLLATE "C" or the builtin provider where order must not change.',
        ),
        Finding.check(
            "PRE-collations",
            "The target has every collation that the source's columns use",
            absent,
            severity=Severity.HIGH,
            subject=target.described,
            expected=", ".join(str(row[0]) for row in used) or "none but the default",
            observed=f"missing: {', '.join(absent)}" if absent else "all are there",
            why="A table with such a column cannot be made, and its rows are lost.",
            remedy="SELECT pg_import_system_collations('pg_catalog'); on the target, or CREATE COLLATION under that "
            "name.",
        ),
    ]


def extensions(source: ServerFacts, target: ServerFacts, theirs: Connection) -> list[Finding]:
    """`PRE-extensions`, `PRE-extension-versions`, `PRE-extension-rights`: offered, new enough, and ours to install."""
    rows = theirs.execute(
        "SELECT a.name, a.default_version, a.installed_version, coalesce(v.trusted, false), "
        "coalesce(v.superuser, true) "
        "FROM pg_available_extensions a LEFT JOIN pg_available_extension_versions v "
        "ON v.name = a.name AND v.version = a.default_version"
    ).fetchall()
    offered = {str(row[0]): row for row in rows}
    allowed_row = theirs.execute(
        "SELECT coalesce(nullif(current_setting('rds.allowed_extensions', true), '*'), "
        "current_setting('rds.extensions', true)), "
        "EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'rds_superuser' AND pg_has_role(r.oid, 'MEMBER')), "
        "has_database_privilege(current_database(), 'CREATE')"
    ).fetchone()
    listed, rds_master, may_create = allowed_row or (None, False, False)
    allowed = {name.strip() for name in str(listed).split(",") if name.strip()} if listed else None
    used = sorted(source.extensions.items())
    absent = [name for name, _ in used if name not in offered or (allowed is not None and name not in allowed)]
    older = [
        f"{name} {offered[name][1]}, not {version}"
        for name, version in used
        if name in offered and _number(str(offered[name][1])) < _number(version)
    ]
    barred = [
        name
        for name, _ in used
        if name in offered
        and name not in absent
        and not offered[name][2]
        and not (target.superuser or rds_master or not offered[name][4] or (offered[name][3] and may_create))
    ]
    words = ", ".join(f"{name} {version}" for name, version in used)
    by_list = " (by the parameter rds.extensions)" if allowed is not None else ""
    return [
        Finding.check(
            "PRE-extensions",
            "The target offers every extension that the source uses",
            absent,
            severity=Severity.BLOCKER,
            subject=target.described,
            expected=words,
            observed=f"not offered{by_list}: {', '.join(absent)}" if absent else f"all are offered{by_list}",
            why="Tables that use its types cannot be restored, and their rows are lost.",
            remedy="Install it, choose an engine version that has it, or take it out of the source.",
        ),
        Finding.check(
            "PRE-extension-versions",
            "The target's extensions are at least as new as the source's",
            older,
            severity=Severity.MEDIUM,
            subject=target.described,
            expected=words,
            observed=f"older: {', '.join(older)}" if older else "none is older",
            why="A function or a type of the newer version may be missing in the older one.",
            remedy="Choose an engine version that has it, or try the application against the trial copy.",
        ),
        Finding.check(
            "PRE-extension-rights",
            "We may install every extension on the target",
            barred,
            severity=Severity.HIGH,
            subject=target.described,
            expected="trusted, or installed already, or our role is superuser (RDS: rds_superuser)",
            observed=f"not ours to install: {', '.join(barred)}" if barred else "all of them",
            why="CREATE EXTENSION would be refused in the restore, and with it all that needs it.",
            remedy="\n".join(f'CREATE EXTENSION "{name}"; as an administrator of the target' for name in barred),
        ),
    ]


def _number(version: str) -> tuple[int, ...]:
    return tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in version.split("."))


def roles(ours: Connection, theirs: Connection, target: ServerFacts) -> Finding:
    """`PRE-roles`: who owns objects, holds grants or stands in policies, and is not known on the target."""
    needed = {
        str(row[0])
        for row in ours.execute(
            "SELECT DISTINCT r.rolname FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid WHERE d.dbid = (SELECT "
            "oid FROM pg_database WHERE datname = current_database()) AND d.refclassid = 'pg_authid'::regclass"
        )
    }
    there = {str(row[0]) for row in theirs.execute("SELECT rolname FROM pg_roles")}
    absent = sorted(needed - there)
    return Finding.check(
        "PRE-roles",
        "The roles that own objects or hold grants exist on the target",
        absent,
        severity=Severity.MEDIUM,
        subject=target.described,
        expected=", ".join(sorted(needed)) or "none needed",
        observed=f"missing: {', '.join(absent)}" if absent else "all exist",
        why="Grants to these roles cannot be restored; each is an object lost, and the restore stays marked.",
        remedy="\n".join(f'CREATE ROLE "{name}" LOGIN;' for name in absent),
    )


def ready(theirs: Connection, target: ServerFacts) -> list[Finding]:
    """`PRE-target-empty`, `PRE-target-writable`: nothing in it, and we may fill it."""
    held = objects_in(theirs)
    found = [", ".join(held)] if held else []
    if unfinished_restore(theirs) is not None:
        found.append("an unfinished restore (schema `cutover_restore`)")
    row = theirs.execute(
        "SELECT pg_is_in_recovery(), s.reset_val, has_database_privilege(current_database(), 'CREATE') "
        "FROM pg_settings s WHERE s.name = 'default_transaction_read_only'"
    ).fetchone()
    standby, readonly, may_create = row or (False, "off", True)
    reasons = [
        words
        for words, holds in (
            ("it is a standby", standby),
            ("default_transaction_read_only is on", readonly == "on"),
            (f"{target.user} may not CREATE in it", not may_create),
        )
        if holds
    ]
    return [
        Finding.check(
            "PRE-target-empty",
            "The target database is empty",
            found,
            severity=Severity.HIGH,
            subject=target.described,
            expected="no table, view, sequence, function, type, schema or large object",
            observed="; ".join(found) or "empty",
            why="A restore over existing objects mixes two states; it will be refused.",
            remedy="Drop and create the target database again once nothing in it is needed.",
        ),
        Finding.check(
            "PRE-target-writable",
            "The target takes writes, and ours",
            reasons,
            severity=Severity.BLOCKER,
            subject=target.described,
            expected="a primary, writable, with CREATE on the database",
            observed="; ".join(reasons) or "it does",
            why="Nothing can be restored into it.",
            remedy=f'Point at the primary; ALTER DATABASE "{target.database}" RESET default_transaction_read_only; '
            f'GRANT CREATE ON DATABASE "{target.database}" TO "{target.user}"; whichever it is.',
        ),
    ]


def room(source: ServerFacts, target: ServerFacts, storage_bytes: int | None, folder: Path | None) -> list[Finding]:
    """`PRE-room`: the target's storage; `PRE-room-dump`: the disk that the dump goes to.

    Args:
        source, target: the facts.
        storage_bytes: what the target was given (RDS AllocatedStorage, or the parameters); SQL does not tell.
        folder: where the dump will lie; None: not asked.
    """
    needed = int(source.size_bytes * _ROOM)
    title = "The target's storage holds the source and what building its indexes needs"
    expected = f"at least {size(needed)} ({_ROOM} times the source's {size(source.size_bytes)})"
    if storage_bytes is None:
        storage = Finding(
            "PRE-room",
            title,
            Status.UNKNOWN,
            Severity.MEDIUM,
            target.described,
            expected,
            "not told",
            "A server does not say by SQL how much room is left on its disk.",
            "See FreeStorageSpace of the instance in CloudWatch, or give expect.rds.storage_gib in the parameters.",
        )
    else:
        storage = Finding.check(
            "PRE-room",
            title,
            storage_bytes < needed,
            severity=Severity.HIGH,
            subject=target.described,
            expected=expected,
            observed=size(storage_bytes),
            why="The restore would stop in its middle with a full disk.",
            remedy="aws rds modify-db-instance --allocated-storage … --apply-immediately",
        )
    if folder is None:
        return [storage]
    there = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    free = shutil.disk_usage(there).free
    return [
        storage,
        Finding.check(
            "PRE-room-dump",
            "The disk that the dump goes to has room for it",
            free < source.size_bytes,
            severity=Severity.HIGH,
            subject=str(folder),
            expected=f"at least {size(source.size_bytes)}, the source's size (a dump is compressed, and lacks the "
            "indexes)",
            observed=f"{size(free)} free",
            why="The dump would stop in its middle with a full disk.",
            remedy="Make room, or set `backups:` in the parameters to a larger disk.",
        ),
    ]


def _unknown(key: str, title: str, severity: Severity, target: ServerFacts, error: psycopg.Error) -> Finding:
    return Finding(f"PRE-{key}", title, Status.UNKNOWN, severity, target.described, "", "not readable", one_line(error))
