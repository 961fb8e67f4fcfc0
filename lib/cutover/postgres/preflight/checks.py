"""What must hold before a dump is taken: versions, extensions, rights, room, and what a restore would stumble over."""

from __future__ import annotations

from pathlib import Path

from cutover.errors import DatabaseError
from cutover.finding import Finding
from cutover.postgres.connection import TAKES_WRITES, session, start_up
from cutover.postgres.facts import ServerFacts, server_facts
from cutover.postgres.preflight import pair, server
from cutover.postgres.preflight.client import client
from cutover.postgres.preflight.query_checks import look
from cutover.postgres.preflight.scratch import check_schema
from cutover.postgres.preflight.source import SOURCE


def preflight(
    source_url: str,
    target_url: str,
    *,
    jobs: int = 2,
    scratch: bool = True,
    owner: bool = False,
    acl: bool = True,
    role: str | None = None,
    storage_bytes: int | None = None,
    dump_folder: Path | None = None,
) -> list[Finding]:
    """Look at both databases and say what stands in the way of a transfer.

    Nothing of either database is changed. With `scratch`, a database of its own is made on the target's server for the
    restore of the schema, and dropped again.

    Finding ids: of each SIDE (source, target) PRE-SIDE, PRE-connections-SIDE, PRE-tls-SIDE, PRE-tls-kept-SIDE; of the
    source PRE-pooler, PRE-login-triggers, PRE-tools and those of `source.SOURCE`; of both PRE-versions, PRE-encoding,
    PRE-collation, PRE-collation-current, PRE-collation-versions, PRE-collations, PRE-extensions,
    PRE-extension-versions, PRE-extension-rights, PRE-roles, PRE-room, PRE-room-dump, PRE-target-empty,
    PRE-target-writable; of the schema's restore PRE-schema-data, PRE-schema-objects, PRE-schema-harmless,
    PRE-schema-same.

    Args:
        source_url, target_url: the databases; one that cannot be reached gives an UNKNOWN finding.
        jobs: sessions that the transfer and the comparison will open on each side.
        scratch: try the schema's restore.
        owner, acl, role: as the restore of the day will have them.
        storage_bytes: what the target was given; None: not known.
        dump_folder: where the dump will lie; None: not asked.
    """
    findings: list[Finding] = []
    facts: dict[str, ServerFacts] = {}
    for side, url in (("source", source_url), ("target", target_url)):
        try:
            facts[side] = server_facts(url)
            with session(url) as connection:
                spare = server.connections(side, facts[side], connection, jobs)
        except DatabaseError as error:
            facts.pop(side, None)
            findings.append(server.not_reached(side, url, error))
            continue
        findings += [server.reached(side, facts[side]), spare, *server.tls(side, url, facts[side])]
    if "source" in facts:
        refused = start_up(source_url, TAKES_WRITES)
        findings += [client(facts["source"], facts.get("target"), source_url), server.pooler(source_url, refused)]
        with session(source_url) as connection:
            findings.append(server.login_triggers(source_url, connection, refused))
            findings += [look(connection, facts["source"].described, check) for check in SOURCE]
    if len(facts) == 2:
        findings += _both(facts["source"], facts["target"], source_url, target_url)
        findings += pair.room(facts["source"], facts["target"], storage_bytes, dump_folder)
        if scratch:
            findings += check_schema(source_url, target_url, owner=owner, acl=acl, role=role)
    return findings


def _both(source: ServerFacts, target: ServerFacts, source_url: str, target_url: str) -> list[Finding]:
    with session(source_url) as ours, session(target_url) as theirs:
        return [
            pair.versions(source, target),
            pair.encoding(source, target),
            pair.collation(source, target),
            *pair.collation_versions(ours, theirs, target),
            *pair.extensions(source, target, theirs),
            pair.roles(ours, theirs, target),
            *pair.ready(theirs, target),
        ]
