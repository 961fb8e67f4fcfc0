"""What a migration changes in databases, each an Action: back up, transfer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cutover.action import Change, Plan
from cutover.errors import ActionRefused, DatabaseError
from cutover.finding import Finding, Severity, Status
from cutover.postgres.archive import Dump, read_dump, verify_dump
from cutover.postgres.connection import describe, session
from cutover.postgres.forecast import measured
from cutover.postgres.integrity import Fingerprint, fingerprint
from cutover.postgres.snapshot import exported_snapshot
from cutover.postgres.transfer import (
    MARKER,
    Filled,
    Restore,
    dump,
    filled,
    not_known_again,
    read_mark,
    refuse_used,
    restore,
)
from cutover.postgres.transfer.findings import check_restore
from cutover.progress import Listener


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

    A target that holds the whole copy of an earlier transfer, known again by its ids, is kept as it is.

    Args:
        source_url, target_url: from where to where.
        folder: for the dump; when something is in it, the next free `folder-2`, `folder-3`, …
        jobs: parallel workers.
        progress: told how far it is.
        fingerprint: also take the digests of the source's every row, under the dump's own snapshot, and write them
            to this file; a relative one lies in the dump's folder.
        owner, acl, role, settings: as in `restore`.
        earlier: what `apply` returned the last time between these two; {} when it never did.
        done: given the plan and what `apply` will return, as soon as the copy is whole, before its mark goes.
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
        earlier: Mapping[str, Any] | None = None,
        done: Callable[[Plan, Mapping[str, Any]], None] | None = None,
    ) -> None:
        self._earlier, self._done = dict(earlier or {}), done
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
        if not self._not_kept():
            return Plan(
                self.name,
                f"{describe(self._source)} → {describe(self._target)}",
                f"keep the whole copy as of {self._earlier['dump']['at']} that {describe(self._target)} holds already",
                before={"target": "the source's objects and rows", "dump": self._earlier["dump"]["folder"]},
                after={"target": "the source's objects and rows"},
                undo="drop and create the target database; the source is only read",
                empty=True,
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
            DatabaseError: the target is not empty, and not what an earlier transfer left; or a server or tool refused.
        """
        resumed = plan.before.get("resume")
        if resumed:
            dumped, printed = read_dump(Path(str(resumed))), self._printed(Path(str(resumed)))
        else:
            refuse_used(self._target, self._not_kept() if self._earlier else "")
            dumped, printed = self._dump(fresh(self._folder))
        bad = [f for f in verify_dump(dumped.folder) if f.closes_gate]
        if bad:
            raise ActionRefused(f"The dump is not restored: {bad[0].title}: {bad[0].observed}.", todo=bad[0].remedy)
        result: dict[str, Any] = {"dump": summary_of(dumped), "fingerprint": str(printed) if printed else ""}

        def told(restored: Restore) -> dict[str, Any]:
            return result | {"restore": restored.to_dict(), "measured": measured(dumped, restored).to_dict()}

        def whole(restored: Restore) -> None:
            result["filled"] = filled(self._target).to_dict() | self._chosen
            if self._done is not None:
                self._done(plan, told(restored))

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
            whole=whole,
        )
        return told(restored)

    def verify(self, change: Change) -> list[Finding]:
        """The dump once more, and what the restore lost; of a copy that was kept, that it is the one that was whole."""
        if change.plan.empty:
            return [self._check_kept(), *check_restore(Restore.from_dict(self._earlier["restore"]))]
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

    @property
    def _chosen(self) -> dict[str, Any]:
        """What was chosen of the restore that shows in what it leaves."""
        return {"owner": self._owner, "acl": self._acl, "role": self._role}

    def _not_kept(self) -> str:
        """Why the target is not what an earlier transfer left; "" when it is, whole."""
        before = dict(self._earlier.get("filled", {}))
        if before and {name: before.get(name) for name in self._chosen} != self._chosen:
            return "it was restored by other choices (`restore:` in the parameters)"
        try:
            return not_known_again(self._target, Filled.from_dict(before))
        except DatabaseError as error:
            return f"it cannot be looked at: {error.what}"

    def _check_kept(self) -> Finding:
        """`RST-kept`: the target still is the database that an earlier transfer filled, as it left it."""
        dumped, wrong = self._earlier["dump"], self._not_kept()
        return Finding.check(
            "RST-kept",
            "The target holds the whole copy that was restored before",
            Status.UNKNOWN if wrong else Status.PASS,
            severity=Severity.BLOCKER,
            subject=describe(self._target),
            expected="the same server, database and tables by their ids, and no mark",
            observed=wrong
            or f"restored {self._earlier['restore']['started']} from the dump as of {dumped['at']} in "
            f"{dumped['folder']}; the ids of server, database and {self._earlier['filled']['relations']} relations are "
            "the same",
            why="What is in it may not be what was restored.",
            note="It is not moved again; 13 compares every row.",
            remedy="Drop and create the target database, then run 12_data_migration again.",
        )

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


def fresh(folder: Path) -> Path:
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
