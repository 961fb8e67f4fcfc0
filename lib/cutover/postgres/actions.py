"""What a migration changes in databases, each an Action: empty, back up, transfer; and the trial of it all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cutover.action import Change, Plan
from cutover.errors import ActionRefused, DatabaseError
from cutover.finding import Finding
from cutover.postgres.archive import Dump, read_dump, verify_dump
from cutover.postgres.connection import describe, same_database, session
from cutover.postgres.forecast import measured
from cutover.postgres.integrity import Comparison, Fingerprint, compare, fingerprint
from cutover.postgres.progress import Listener
from cutover.postgres.restore_errors import check_restore
from cutover.postgres.snapshot import exported_snapshot
from cutover.postgres.transfer import MARKER, Restore, dump, read_mark, restore
from cutover.postgres.transfer.resuming import drop_everything

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
            Finding(
                "TRF-00",
                "The staging database is empty",
                "FAIL" if left else "PASS",  # type: ignore[arg-type]
                "blocker",  # type: ignore[arg-type]
                describe(self._url),
                "no relation in any schema",
                ", ".join(f"{schema}: {count}" for schema, count in left.items()) or "none",
                "what an older trial left could hide a loss",
                "drop and create the staging database",
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


class BackUp:
    """A dump of the source, kept; verified by reading it back."""

    name = "back-up"

    def __init__(self, source_url: str, folder: Path, *, jobs: int = 2, progress: Listener | None = None) -> None:
        self._source, self._folder, self._jobs, self._progress = source_url, folder, jobs, progress

    def plan(self) -> Plan:
        """Where it goes, and that nothing of the source changes."""
        there = (self._folder / "dump.json").exists()
        return Plan(
            self.name,
            describe(self._source),
            f"dump {describe(self._source)} into {self._folder}" + (" (it is there already)" if there else ""),
            (
                {
                    "call": "pg_dump",
                    "arguments": {"format": "directory", "jobs": self._jobs, "folder": str(self._folder)},
                },
            ),
            before={"dump": there},
            after={"dump": True},
            undo="remove the folder",
            empty=there,
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Dump."""
        return summary_of(dump(self._source, self._folder, jobs=self._jobs, progress=self._progress))

    def verify(self, change: Change) -> list[Finding]:
        """Read back: contents, sizes, SHA-256."""
        return verify_dump(self._folder)

    def undo(self, change: Change) -> Mapping[str, Any]:
        """A backup is never removed by a program."""
        raise ActionRefused(f"The backup in {self._folder} is kept.", todo="remove it by hand once nobody needs it.")


class Transfer:
    """The copy that moves: dump, read back, restore into the empty target; or go on with what was interrupted.

    Args:
        source_url, target_url: from where to where.
        folder: for the dump; when something is in it, the next free `folder-2`, `folder-3`, …
        jobs: parallel workers.
        progress: told how far it is.
        fingerprint: also take the digests of the source's every row, under the dump's own snapshot, and write them
            to this file; a relative one lies in the dump's folder.
        owner, acl, role, settings: as in `restore`.
    """

    name = "transfer"

    def __init__(
        self,
        source_url: str,
        target_url: str,
        folder: Path,
        *,
        jobs: int = 2,
        progress: Listener | None = None,
        fingerprint: Path | None = None,
        owner: bool = False,
        acl: bool = True,
        role: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._source, self._target, self._folder = source_url, target_url, folder
        self._jobs, self._progress, self._fingerprint = jobs, progress, fingerprint
        self._owner, self._acl, self._role, self._settings = owner, acl, role, dict(settings or {})

    def plan(self) -> Plan:
        """From where to where, with which programs; what an interrupted restore has loaded already."""
        there = self._interrupted()
        arguments = {"format": "directory", "jobs": self._jobs, "folder": str(self._folder)}
        chosen = {"owner": self._owner, "acl": self._acl, "role": self._role, "settings": self._settings}
        target = {"target": describe(self._target), "jobs": self._jobs, **chosen}
        if there:
            held, loaded = there
            return Plan(
                self.name,
                f"{describe(self._source)} → {describe(self._target)}",
                f"go on with the interrupted restore of the dump as of {held.at} into {describe(self._target)}: "
                f"{loaded} of {len(held.tables)} tables are loaded",
                ({"call": "pg_restore", "arguments": target | {"folder": str(held.folder), "resume": True}},),
                before={"target": "an interrupted restore", "resume": str(held.folder)},
                after={"target": "the source's objects and rows"},
                undo="drop and create the target database; the source is only read",
            )
        return Plan(
            self.name,
            f"{describe(self._source)} → {describe(self._target)}",
            f"dump {describe(self._source)}, verify the dump, restore it into the empty {describe(self._target)}",
            ({"call": "pg_dump", "arguments": arguments}, {"call": "pg_restore", "arguments": target}),
            before={"target": "empty"},
            after={"target": "the source's objects and rows"},
            undo="drop and create the target database; the source is only read",
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Dump, read it back, restore; a dump that cannot be read back is not restored.

        Raises:
            ActionRefused: the dump failed its verification.
        """
        resumed = plan.before.get("resume")
        if resumed:
            dumped, printed = read_dump(Path(str(resumed))), self._printed(Path(str(resumed)))
        else:
            dumped, printed = self._dump(_fresh(self._folder))
        bad = [f for f in verify_dump(dumped.folder) if f.closes_gate]
        if bad:
            raise ActionRefused(f"The dump is not restored: {bad[0].title}: {bad[0].observed}.", todo=bad[0].remedy)
        restored = restore(
            dumped.folder,
            self._target,
            jobs=self._jobs,
            progress=self._progress,
            owner=self._owner,
            acl=self._acl,
            role=self._role,
            settings=self._settings,
            resume=bool(resumed),
            verified=True,
        )
        return {
            "dump": summary_of(dumped),
            "restore": restored.to_dict(),
            "fingerprint": str(printed) if printed else "",
            "measured": measured(dumped, restored).to_dict(),
        }

    def verify(self, change: Change) -> list[Finding]:
        """The dump once more, and what the restore lost."""
        raw = dict(change.result["restore"])
        return [*verify_dump(Path(str(raw["folder"]))), *check_restore(Restore.from_dict(raw))]

    def undo(self, change: Change) -> Mapping[str, Any]:
        """The target is emptied by hand: what was moved into it may be all there is."""
        raise ActionRefused(
            f"{describe(self._target)} is not emptied by a program.", todo="DROP DATABASE …; CREATE DATABASE …;"
        )

    def _dump(self, folder: Path) -> tuple[Dump, Path | None]:
        """The dump and, where wanted, the source's digests, both as of one instant."""
        with exported_snapshot(self._source) as snapshot:
            dumped = dump(self._source, folder, jobs=self._jobs, snapshot=snapshot, progress=self._progress)
            if self._fingerprint is None:
                return dumped, None
            taken = fingerprint(self._source, snapshot=snapshot, jobs=self._jobs, progress=self._progress)
        where = folder / self._fingerprint
        taken.write(where)
        _refuse_other_rows(dumped, taken)
        return dumped, where

    def _printed(self, folder: Path) -> Path | None:
        """The digests that were taken with an earlier dump, if they were."""
        where = folder / self._fingerprint if self._fingerprint else None
        return where if where and where.exists() else None

    def _interrupted(self) -> tuple[Dump, int] | None:
        """The dump that the target's mark names, if it is at hand, and how many of its tables are loaded."""
        try:
            with session(self._target) as connection:
                mark = read_mark(connection)
        except DatabaseError:
            return None  # said by whoever needs the target next
        for path in sorted(self._folder.parent.glob("*/dump.json")) if mark else ():
            try:
                held = read_dump(path.parent)
            except DatabaseError:
                continue
            if mark and held.identity == mark.note.get("identity"):
                return held, len(mark.loaded)
        return None


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
    with exported_snapshot(source_url) as snapshot:
        dumped = dump(source_url, folder, jobs=jobs, snapshot=snapshot, progress=progress)
        verified = verify_dump(folder)
        restored = restore(folder, target_url, jobs=jobs, progress=progress, verified=True, **{"acl": True, **options})
        compared = compare(source_url, target_url, jobs=jobs, source_snapshot=snapshot, progress=progress)
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
            _fresh(self._folder),
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


def _refuse_other_rows(dumped: Dump, taken: Fingerprint) -> None:
    """The rows that were counted in the dump's files against those that the server counted, at the same instant.

    Raises:
        ActionRefused: a table has more or fewer; partitioned ones are compared whole, by the comparison.
    """
    counted = {
        relation.plain_name: taken.digests[name].rows
        for name, relation in taken.relations.items()
        if name in taken.digests and len(relation.leaves) == 1
    }
    wrong = [
        f"{name} {table.rows:,} rows, the source {counted[name]:,}"
        for table in dumped.data
        for name in [f"{table.schema}.{table.name}"]
        if name in counted and counted[name] != table.rows
    ]
    if wrong:
        raise ActionRefused(
            f"The dump in {dumped.folder} does not hold what the source did: {'; '.join(wrong[:5])}.",
            why="both were read at one instant, so one of them was read wrongly: a damaged index, or a damaged disk.",
            todo="check the source (pg_amcheck --heapallindexed), then dump again.",
        )


def _fresh(folder: Path) -> Path:
    """`folder`, or the first of `folder-2`, `folder-3`, … that holds nothing: an earlier attempt is kept."""
    number, chosen = 1, folder
    while chosen.exists() and any(chosen.iterdir()):
        number += 1
        chosen = folder.with_name(f"{folder.name}-{number}")
    return chosen


def summary_of(dumped: Dump) -> dict[str, Any]:
    """What of a dump goes into the evidence: where, as of when, how large; not its list of files."""
    raw = dumped.to_dict()
    files = raw.pop("files", {})
    raw.pop("data", None)
    raw.pop("settings", None)  # values of ALTER DATABASE … SET may be secrets; the dump itself has them
    return raw | {"files": len(files), "bytes": sum(entry["bytes"] for entry in files.values()), "marker": MARKER}
