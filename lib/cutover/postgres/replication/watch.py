"""Whether a replicated copy follows: lag, stalls, errors, conflicts, and schemas that went apart."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from cutover.errors import DatabaseError
from cutover.finding import Finding, Severity, Status
from cutover.postgres.catalog import Expected, compare_catalogs, printed_by, read_catalog
from cutover.postgres.connection import describe, session, user_of
from cutover.postgres.replication.link import STATES, Link, LinkState, link_state, published_tables, qualified
from cutover.postgres.replication.schema import changed, schema_of
from cutover.progress import Listener, Progress
from cutover.text import size

READY_BYTES = 16 * 2**20
"""A copy that is behind by no more of the source's log than this (one segment) catches up within a second or two."""
_LOST = "Undo it with `stop` in notebook 08, empty the target, and begin anew; until then the old copy is worth \
nothing."


def check_following(
    link: Link,
    *,
    settle_s: float = 5.0,
    ready_bytes: int = READY_BYTES,
    expected: Iterable[Expected] = (),
    since: Mapping[str, Mapping[str, str]] | None = None,
    progress: Listener | None = None,
) -> list[Finding]:
    """Look at a replication that runs; changes nothing.

    Finding ids: REP-tables (every table streams), REP-lag, REP-errors, REP-conflicts, REP-slot, REP-guard, REP-schema.

    Args:
        link: source, target and the name of it all.
        settle_s: seconds to wait for the copy to come close, before its lag is judged.
        ready_bytes: of the source's log that it may be behind.
        expected: differences of the catalog that are meant.
        since: the digests of both schemas when it was begun (`schema_of`); names what has changed since.
        progress: told how far behind it is.
    """
    try:
        state = link_state(link)
        ends = time.monotonic() + settle_s
        while time.monotonic() < ends and not (state.streaming and (state.behind_bytes or 0) <= ready_bytes):
            if progress:
                progress(Progress("lag", state.behind_bytes or 0, 0, "bytes"))
            time.sleep(0.2)
            state = link_state(link)
        unpublished = _unpublished(link, state)
    except DatabaseError as error:
        why = "Whether the copy follows is not known."
        return [
            Finding("REP-tables", "Every table streams", Status.UNKNOWN, Severity.BLOCKER, link.subject,
                    observed=error.what, why=why, remedy=error.todo)
        ]  # fmt: skip
    return [
        _tables(link, state, unpublished),
        _lag(link, state, ready_bytes),
        _errors(link, state),
        _conflicts(link, state),
        _slot(link, state),
        _guard(link, state),
        check_schema(link, expected=expected, since=since),
    ]


def lag_of(link: Link) -> dict[str, float | int | str | None]:
    """How far behind the copy is now: bytes of the source's log, seconds, and the two positions."""
    state = link_state(link)
    return {
        "behind_bytes": state.behind_bytes,
        "lag_s": state.lag_s,
        "kept_bytes": state.kept_bytes,
        "source_lsn": state.source_lsn,
        "replayed": state.replayed,
    }


def check_schema(
    link: Link, *, expected: Iterable[Expected] = (), since: Mapping[str, Mapping[str, str]] | None = None
) -> Finding:
    """Whether both sides are still made of the same objects; DDL is not replicated. Finding id: REP-schema."""
    title = "Nobody changed the schema since the copy was begun"
    try:
        source, target = read_catalog(link.source_url), read_catalog(link.target_url)
        printed = printed_by(link.target_url, source, target)
        seen = compare_catalogs(
            source,
            target,
            tuple(expected),
            live=True,
            deparsed=printed,
            restored_as=link.restored.by(user_of(link.target_url)),
            acl=link.acl,
        )
        apart = [f for f in seen if f.closes_gate]
        now = schema_of(link) if since else {}
    except DatabaseError as error:
        return Finding("REP-schema", title, Status.UNKNOWN, Severity.BLOCKER, link.subject, observed=error.what)
    differing = [f for f in apart if f.id != "INT-catalog" and not f.id.startswith("INT-catalog-publication")]
    moved = [
        f"{side}: {line}"
        for side in ("source", "target")
        for line in changed(dict((since or {}).get(side, {})), dict(now.get(side, {})))
    ]
    said = [f"{f.title}? No: {f.observed}" for f in differing[:6]]
    said += [f"since it was begun, {'; '.join(moved[:10])}"] if moved else []
    unread = [f for f in differing if f.undecided]
    status = Status.PASS if not differing else Status.UNKNOWN if len(unread) == len(differing) else Status.FAIL
    return Finding.check(
        "REP-schema",
        title if not moved or differing else "Both sides were changed alike since the copy was begun",
        status,
        severity=Severity.BLOCKER,
        subject=link.subject,
        expected="the same objects on both sides",
        observed="; ".join(said) or "the same objects on both sides",
        why="DDL is not replicated: the next row that does not fit stops the copy, and what was made on one side is "
        "missing on the other.",
        remedy="Make the same change on the other side (SET default_transaction_read_only = off; first, on the "
        f"target); a new table also needs: ALTER PUBLICATION {link.name} ADD TABLE … on the source, and ALTER "
        f"SUBSCRIPTION {link.name} REFRESH PUBLICATION on the target.\n"
        + "\n".join(f.remedy for f in differing if f.remedy)[:2000],
        data={"changed": moved[:50]},
    )


def _unpublished(link: Link, state: LinkState) -> list[str]:
    with session(link.source_url) as connection:
        there = {qualified(connection, *table) for table in published_tables(connection)}
    return sorted(there - set(state.published))


def _tables(link: Link, state: LinkState, unpublished: list[str]) -> Finding:
    waiting = [f"{table}: {how}" for table, how in state.tables.items() if how != STATES["r"]]
    absent = sorted(set(state.published) - set(state.tables))
    said = []
    if not state.subscription:
        said.append("there is no subscription")
    elif not state.enabled:
        said.append("the subscription is disabled")
    elif not state.slot_active:
        said.append("the source has no slot for it" if not state.slot else "nobody reads the slot at the moment")
    said += waiting[:10]
    said += [f"published, not subscribed to: {', '.join(absent[:10])}"] if absent and state.subscription else []
    said += [f"not published: {', '.join(unpublished[:10])}"] if unpublished else []
    streaming = len(state.tables) - len(waiting)
    return Finding.check(
        "REP-tables",
        "Every table was copied and follows the source",
        said or not state.tables,
        severity=Severity.BLOCKER,
        subject=link.subject,
        expected="every table of the source streams",
        observed="; ".join(said) or f"{streaming} of {len(state.tables)} tables stream",
        why="What does not stream does not arrive.",
        remedy=f"Run notebook 08 with apply: it goes on where it was. By hand: ALTER SUBSCRIPTION {link.name} ENABLE; "
        f"ALTER SUBSCRIPTION {link.name} REFRESH PUBLICATION;",
        data={"tables": len(state.tables), "streaming": streaming},
    )


def _lag(link: Link, state: LinkState, ready_bytes: int) -> Finding:
    title = "The copy is close behind its source"
    if state.behind_bytes is None:
        return Finding(
            "REP-lag", title, Status.UNKNOWN, Severity.HIGH, link.subject, observed="there is no slot to measure it by"
        )
    seconds = "" if state.lag_s is None else f", {state.lag_s:.1f} s"
    return Finding.check(
        "REP-lag",
        title,
        state.behind_bytes > ready_bytes,
        severity=Severity.HIGH,
        subject=link.subject,
        expected=f"at most {size(ready_bytes)} of the source's log",
        observed=f"{size(state.behind_bytes)}{seconds}; {state.replayed} of {state.source_lsn}",
        why="Users would be refused for as long as the rest takes.",
        remedy="Wait; look at the target's load, locks and long queries (pg_stat_activity), and whether a large update "
        "or an index build holds it up.",
        data={"bytes": state.behind_bytes, **({"seconds": state.lag_s} if state.lag_s is not None else {})},
    )


def _errors(link: Link, state: LinkState) -> Finding:
    failed = {kind: count for kind, count in state.errors.items() if count}
    stalled = bool(failed) and not state.streaming
    told = ", ".join(f"{count} failed attempts to {_VERBS[kind]}" for kind, count in failed.items()) or "none"
    recovered = "; it has recovered and streams" if failed and not stalled else ""
    return Finding.check(
        "REP-errors",
        "The copy's workers do their work",
        stalled,
        severity=Severity.BLOCKER,
        subject=describe(link.target_url),
        expected="no worker that fails",
        observed=told + recovered,
        why="A worker that fails tries again for ever; nothing arrives, and the source keeps its log meanwhile.",
        remedy="The target's server log names the row and the reason. Remove or correct the row that is in the way on "
        "the target (SET default_transaction_read_only = off; first); the worker goes on by itself within 5 s. ALTER "
        f"SUBSCRIPTION {link.name} SKIP (lsn = '…') passes over a transaction: the comparison will name its rows.",
        data=failed,
    )


def _conflicts(link: Link, state: LinkState) -> Finding:
    return Finding.check(
        "REP-conflicts",
        "No row that arrived met another one",
        state.conflicts,
        severity=Severity.HIGH,
        subject=describe(link.target_url),
        expected="no conflict",
        observed=", ".join(f"{kind.replace('_', ' ')}: {count}" for kind, count in state.conflicts.items())
        or "none counted (PostgreSQL 18 counts them by kind; older ones as errors)",
        why="Somebody wrote into the copy, or a row was passed over: the copy may differ from its source.",
        remedy="Find the writer (pg_stat_activity on the target) and stop it, then compare: the comparison at the "
        "fence names what differs. To begin the count anew: SELECT pg_stat_reset_subscription_stats(subid) FROM "
        "pg_stat_subscription_stats;",
        data=dict(state.conflicts),
    )


def _slot(link: Link, state: LinkState) -> Finding:
    lost, tight = state.slot_wal == "lost" or not state.slot, state.slot_wal == "unreserved"
    kept = f"; it keeps {size(state.kept_bytes)} of log" if state.kept_bytes is not None else ""
    left = f", {size(state.safe_bytes)} more until it is lost" if state.safe_bytes is not None else ""
    return Finding.check(
        "REP-slot",
        "The source keeps what the copy has not seen yet",
        lost or tight,
        severity=Severity.BLOCKER,
        subject=describe(link.source_url),
        expected="a slot whose log is reserved",
        observed=(f"slot {link.name}: {state.slot_wal or 'no log reserved'}" if state.slot else "there is no slot")
        + kept
        + left,
        why="Without it there is a gap that nothing fills.",
        remedy=_LOST if lost else "Raise max_slot_wal_keep_size on the source at once, and see why the copy lags.",
        data={"kept_bytes": state.kept_bytes} if state.kept_bytes is not None else {},
    )


def _guard(link: Link, state: LinkState) -> Finding:
    return Finding.check(
        "REP-guard",
        "Nobody else writes into the copy",
        not state.guarded,
        severity=Severity.HIGH,
        subject=describe(link.target_url),
        expected="default_transaction_read_only = on for everybody but the replication",
        observed="on" if state.guarded else "the target takes anybody's writes",
        why="A row that the application writes there collides with one that arrives.",
        remedy="Run notebook 08 with apply: it sets it again.",
    )


_VERBS = {"apply": "apply", "sync": "copy a table"}
