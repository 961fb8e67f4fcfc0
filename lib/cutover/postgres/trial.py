"""The trial: a staging database is emptied, filled with a copy of the live source, and compared as of one instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cutover.action import Change, Plan
from cutover.errors import ActionRefused
from cutover.finding import Finding, Severity
from cutover.postgres.actions import fresh, summary_of
from cutover.postgres.archive import Dump, verify_dump
from cutover.postgres.catalog import Restored
from cutover.postgres.connection import describe, same_database, session
from cutover.postgres.forecast import measured
from cutover.postgres.integrity import Comparison, compare
from cutover.postgres.snapshot import exported_snapshot
from cutover.postgres.transfer import Restore, dump, restore
from cutover.postgres.transfer.findings import check_restore
from cutover.postgres.transfer.resuming import drop_everything
from cutover.progress import Listener

_USER_SCHEMAS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"


class EmptyDatabase:
    """Drop everything that the connecting role may drop in a **staging** database, so that a trial starts from nothing.

    Args:
        url: the database to empty.
        never: databases that it must not be, whatever the parameters say.
    """

    name = "empty-database"

    def __init__(self, url: str, *, never: Sequence[str]) -> None:
        self._url = url
        if any(same_database(url, other) for other in never):
            raise ActionRefused(
                f"{describe(url)} is not a staging database: it is the source's or the day's target.",
                why="emptying it would destroy what the migration is about.",
                todo="name another database at staging.database_url.",
            )

    def plan(self) -> Plan:
        """Every schema that would go, with how many relations it holds."""
        held = self._held()
        return Plan(
            self.name,
            describe(self._url),
            f"drop {sum(held.values())} relations in {len(held)} schemas" if held else "it is empty already",
            tuple({"call": "sql", "arguments": {"statement": s}} for s in self._statements(held)),
            before={"relations": held},
            after={"relations": {}},
            undo="none: a trial copy is made anew by running the notebook again",
            empty=not held,
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Drop the planned schemas; `public` is made again."""
        with session(self._url, readonly=False) as connection:
            for request in plan.requests:
                connection.execute(request["arguments"]["statement"].encode())
        return {"dropped": dict(plan.before["relations"])}

    def verify(self, change: Change) -> list[Finding]:
        """Nothing of a user's is left."""
        left = self._held()
        return [
            Finding.check(
                "TRF-00",
                "The staging database is empty",
                left,
                severity=Severity.BLOCKER,
                subject=describe(self._url),
                expected="no relation in any schema",
                observed=", ".join(f"{schema}: {count}" for schema, count in left.items()) or "none",
                note="what an older trial left could hide a loss",
                remedy="drop and create the staging database",
            )
        ]

    def undo(self, change: Change) -> Mapping[str, Any]:
        """Cannot be undone."""
        raise ActionRefused("An emptied staging database cannot be filled again.", todo="run 04_data_sync_test again.")

    def _held(self) -> dict[str, int]:
        with session(self._url) as connection:
            rows = connection.execute(
                f"""SELECT n.nspname, count(c.oid) FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid
                    WHERE {_USER_SCHEMAS} GROUP BY 1 HAVING n.nspname <> 'public' OR count(c.oid) > 0
                    OR EXISTS (SELECT FROM pg_type t WHERE t.typnamespace = min(n.oid) AND t.typtype IN ('e', 'd'))
                    OR EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = min(n.oid))
                    UNION ALL SELECT '(large objects)', count(*) FROM pg_largeobject_metadata HAVING count(*) > 0
                    UNION ALL SELECT '(publications)', count(*) FROM pg_publication HAVING count(*) > 0
                    UNION ALL SELECT '(event triggers)', count(*) FROM pg_event_trigger HAVING count(*) > 0
                    ORDER BY 1"""  # noqa: S608
            ).fetchall()
        return {str(schema): int(count) for schema, count in rows}

    def _statements(self, held: Mapping[str, int]) -> list[str]:
        if not held:
            return []
        with session(self._url) as connection:
            return [statement.as_string(None) for statement in drop_everything(connection)]


@dataclass(frozen=True)
class Trial:
    """A trial transfer: what it saw and how long each part took."""

    dump: Dump
    restore: Restore
    comparison: Comparison
    findings: list[Finding]


def trial_transfer(
    source_url: str,
    target_url: str,
    folder: Path,
    *,
    jobs: int = 2,
    progress: Listener | None = None,
    **options: Any,
) -> Trial:
    """Dump a live source, restore into an empty database, and compare, all as of one snapshot of the source.

    Args:
        source_url, target_url, folder: from where, to where, and where the dump goes.
        jobs: parallel connections.
        progress: told how far it is.
        options: owner, acl, role and settings, as in `restore`.

    Raises:
        DatabaseError: the dump or the restore could not be made at all.
    """
    chosen = {"acl": True, **options}
    with exported_snapshot(source_url) as snapshot:
        dumped = dump(source_url, folder, jobs=jobs, snapshot=snapshot, progress=progress)
        verified = verify_dump(folder)
        restored = restore(folder, target_url, jobs=jobs, progress=progress, verified=True, **chosen)
        compared = compare(
            source_url,
            target_url,
            jobs=jobs,
            source_snapshot=snapshot,
            progress=progress,
            restored=Restored(**{k: v for k, v in chosen.items() if k in ("owner", "acl", "role")}),
        )
    findings = [*verified, *check_restore(restored), *compared.findings]
    return Trial(dumped, restored, compared, findings)


class TrialTransfer:
    """The whole transfer into **staging**, which is emptied first, compared as of one instant of the source.

    Args:
        source_url: read only.
        staging_url: emptied and filled.
        folder: for the dump.
        never: databases that staging must not be.
        jobs: parallel connections.
        progress: told how far it is.
        options: owner, acl, role and settings, as in `restore`.
    """

    name = "trial-transfer"

    def __init__(
        self,
        source_url: str,
        staging_url: str,
        folder: Path,
        *,
        never: Sequence[str],
        jobs: int = 2,
        progress: Listener | None = None,
        **options: Any,
    ) -> None:
        self._source, self._staging, self._folder, self._options = source_url, staging_url, folder, options
        self._empty = EmptyDatabase(staging_url, never=[source_url, *never])
        self._jobs, self._progress = jobs, progress
        self._trial: Trial | None = None

    def plan(self) -> Plan:
        """What is dropped in staging, and from where to where the copy goes."""
        emptied = self._empty.plan()
        copied = {"source": describe(self._source), "staging": describe(self._staging), "jobs": self._jobs}
        return Plan(
            self.name,
            describe(self._staging),
            f"staging: {emptied.summary}, then fill it with a copy of {describe(self._source)} and compare",
            (*emptied.requests, {"call": "pg_dump, pg_restore, compare", "arguments": copied}),
            before=emptied.before,
            after={"staging": "a copy of the source as of one instant"},
            undo="none: a trial copy is made anew by running the notebook again",
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Empty, dump, restore, compare; how long each took, in seconds."""
        self._empty.apply(self._empty.plan())
        trial = trial_transfer(
            self._source,
            self._staging,
            fresh(self._folder),
            jobs=self._jobs,
            progress=self._progress,
            **self._options,
        )
        self._trial = trial
        seconds = {
            "dump": trial.dump.seconds,
            "restore": trial.restore.seconds,
            "comparison": round(trial.comparison.seconds, 3),
        }
        return {
            "seconds": seconds,
            "dump": summary_of(trial.dump),
            "rows_compared": trial.comparison.rows_compared,
            "measured": measured(trial.dump, trial.restore, compare_s=trial.comparison.seconds).to_dict(),
        }

    def verify(self, change: Change) -> list[Finding]:
        """What the comparison saw.

        Raises:
            ActionRefused: nothing was applied by this object, so there is nothing to judge.
        """
        if self._trial is None:
            raise ActionRefused("The trial was not made here.", todo="run the notebook again with apply.")
        return self._trial.findings

    def undo(self, change: Change) -> Mapping[str, Any]:
        """Cannot be undone."""
        return self._empty.undo(change)
