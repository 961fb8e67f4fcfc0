"""What pg_restore complained about: each error with its object, and what it costs (nothing, an object, data)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Literal

Cost = Literal["harmless", "object", "data"]

_TOC = re.compile(r"from TOC entry (\d+); \d+ \d+ (.*)$")
_ERROR = re.compile(r"pg_restore: error: (.*)$")
_IGNORED = re.compile(r"errors ignored on restore: (\d+)")
_KINDS = (
    "TABLE DATA",
    "SEQUENCE SET",
    "MATERIALIZED VIEW DATA",
    "BLOB METADATA",
    "BLOBS",
    "BLOB",
    "TABLE ATTACH",
    "INDEX ATTACH",
    "FK CONSTRAINT",
    "CHECK CONSTRAINT",
    "DEFAULT ACL",
    "MATERIALIZED VIEW",
    "EVENT TRIGGER",
    "PUBLICATION TABLE",
    "ROW SECURITY",
    "SEQUENCE OWNED BY",
    "TEXT SEARCH CONFIGURATION",
    "TEXT SEARCH DICTIONARY",
    "FOREIGN TABLE",
    "FOREIGN SERVER",
    "USER MAPPING",
)
"""Kinds of archive entries whose name is more than one word."""

_DATA_KINDS = {"TABLE DATA", "SEQUENCE SET", "BLOBS", "BLOB", "TABLE", "SCHEMA", "TABLE ATTACH", "TYPE", "DOMAIN"}
"""Kinds whose failure leaves rows or values behind: with a table, or a type that it needs, go its rows."""

_HARMLESS = (
    (re.compile(r'^ERROR: +schema "public" already exists'), re.compile(r"^CREATE SCHEMA public")),
    (re.compile(r"^ERROR: +must be owner of schema public"), re.compile(r"^COMMENT ON SCHEMA public")),
    (re.compile(r'^ERROR: +extension "\w+" already exists'), re.compile(r"^CREATE EXTENSION")),
    (re.compile(r"^ERROR: +must be owner of extension"), re.compile(r"^COMMENT ON EXTENSION")),
    (re.compile(r'^ERROR: +unrecognized configuration parameter "(transaction|idle)_\w+"'), re.compile(r"^SET ")),
)
"""Pairs of (server's words, command) that cost nothing: both must match."""


@dataclass(frozen=True, slots=True)
class RestoreError:
    """One error of a restore.

    Attributes:
        cost: `harmless`, `object` (an object or a right is lost) or `data` (rows or values are lost).
        kind: the archive entry's kind, `TABLE DATA`, `INDEX`; `?` when pg_restore did not say.
        object: its name, with its schema where it is known.
        message: the server's or pg_restore's words.
        command: the statement that failed, cut short.
        entry: number of the archive's entry, 0 when pg_restore did not say.
    """

    cost: Cost
    kind: str
    object: str
    message: str
    command: str = ""
    entry: int = 0

    @property
    def loss(self) -> bool:
        """Whether anything is lost by it."""
        return self.cost != "harmless"

    def to_dict(self) -> dict[str, str | int]:
        """JSON-ready."""
        return asdict(self)


def read_errors(stderr: Iterable[str], exit_code: int) -> list[RestoreError]:
    """Every error in pg_restore's output, classified; what is not understood counts as lost data."""
    found: list[RestoreError] = []
    entry, item, ignored = "", 0, 0
    lines = list(stderr)
    for number, line in enumerate(lines):
        if match := _IGNORED.search(line):
            ignored = int(match[1])
        elif match := _TOC.search(line):
            item, entry = int(match[1]), match[2]
        elif match := _ERROR.search(line):
            rest = _continuation(lines[number + 1 :])
            command = next((part[len("Command was: ") :] for part in rest if part.startswith("Command was: ")), "")
            detail = " ".join(part for part in rest if part.startswith(("DETAIL:", "CONTEXT:", "HINT:")))
            found.append(replace(_classify(entry, match[1], command, detail), entry=item))
            item, entry = 0, ""
    if (ignored or exit_code != 0) and not found:
        tail = " ".join(" ".join(lines[-3:]).split())[:300]
        found.append(RestoreError("data", "?", "", f"pg_restore ended with exit code {exit_code}: {tail}"))
    if exit_code not in (0, 1):
        found.append(RestoreError("data", "?", "", f"pg_restore did not come to its end (exit code {exit_code})"))
    return found


def _continuation(lines: list[str]) -> list[str]:
    """The lines that belong to an error: up to pg_restore's next word; a command keeps its first lines."""
    rest: list[str] = []
    for line in lines:
        if line.startswith("pg_restore:") or len(rest) > 40:
            break
        if rest and rest[-1].startswith("Command was: ") and line.strip():
            rest[-1] = (rest[-1] + " " + line.strip())[:1500]
        else:
            rest.append(line)
    return rest


def _classify(entry: str, message: str, command: str, detail: str) -> RestoreError:
    kind, name = _split(entry)
    words = message.removeprefix("could not execute query: ")
    if copied := re.match(r'COPY failed for table "(.*?)": (.*)', words):
        # Workers' lines may interleave, so what the message itself says goes before the entry that stood above it.
        kind, name = "TABLE DATA", copied[1]
    name = _qualified(name, command)
    cost: Cost = "object" if kind != "?" and kind not in _DATA_KINDS else "data"
    for server, statement in _HARMLESS:
        if server.search(words) and statement.search(command):
            cost = "harmless"
    if cost == "data" and (command.startswith(("GRANT ", "REVOKE ", "COMMENT ")) or " OWNER TO " in command):
        cost = "object"
    said = _without_values(f"{words} {detail}".strip())
    return RestoreError(cost, kind, name, said[:800], _without_values(command)[:1500])


def _without_values(text: str) -> str:
    """Without what may be a secret or somebody's data: options, passwords, connections, the values of a row."""
    text = re.sub(r"(?i)(OPTIONS\s*\().*?(\)\s*;|\)$)", r"\1…\2", text)
    text = re.sub(r"(?i)((?:PASSWORD|CONNECTION)\s+)'(?:[^']|'')*'", r"\1'…'", text)
    return re.sub(r'(CONTEXT:\s+COPY [^,]+, line \d+(?:, column "?\w+"?)?).*', r"\1", text)


def _qualified(name: str, command: str) -> str:
    """The name with its schema, where the failed command says it."""
    found = re.search(rf'(?:"(?:[^"]|"")+"|\w+)\."?{re.escape(name)}(?:"|\b)', command) if name else None
    return found[0] if found else name


def _split(entry: str) -> tuple[str, str]:
    """`TABLE DATA users owner` as kind and name; the owner at the end is dropped."""
    if not entry:
        return "?", ""
    kind = next((k for k in _KINDS if entry.startswith(k + " ")), entry.split(" ", 1)[0])
    rest = entry[len(kind) :].strip()
    return kind, rest.rsplit(" ", 1)[0] if " " in rest else rest
