"""Options of columns and relations that a server writes for itself: no difference, and not to be carried over.

PostgreSQL 15.20 gives every new column the option `pg_attver`, the position of its own log at that moment: another
number on each server. It takes `SET (pg_attver = 7)` from a user and keeps its own; its pg_dump writes nothing of it.

The rule: an option whose name begins with `pg_` is the server's own. PostgreSQL reserves that prefix (schemas, roles
and tablespaces of that name are refused), and none of the options that a user may set has it ("Storage Parameters" and
"attribute_option" in CREATE TABLE and ALTER TABLE, 14 to 18). An option of any other name is a user's, known or not.
Options of indexes are left alone: they belong to access methods, which extensions bring.
"""

from __future__ import annotations

import re

PREFIX = "pg_"
"""How the name of an option begins that is the server's own."""

_QUOTED = rb"'[^']*'|\"[^\"]*\""  # a doubled quote is two quoted parts side by side
_OWN = re.compile(rb"\s*(?:\w+\.)?(" + PREFIX.encode() + rb"\w+)\s*=")
_ITEM = re.compile(rb"(?:[^,'\"]|" + _QUOTED + rb")+")
_PART = re.compile(
    rb"(?P<quoted>" + _QUOTED + rb")|(?P<end>;)|"
    rb"\b(?P<word>SET|WITH) \((?P<list>(?:[^()'\"]|" + _QUOTED + rb")*)\)"
)


def users_own(option: str) -> str:
    """The SQL condition that an option, a text `name=value`, is not the server's own."""
    return f"NOT starts_with({option}, '{PREFIX}')"


def without_own(definition: bytes) -> tuple[bytes, list[str]]:
    """A relation's definition without the server's own options, and their names, one for each place.

    Args:
        definition: the statements by which pg_dump makes a table or a view. What stands in quotes is not looked at.

    Returns:
        The definition, blanks for what was taken out, so that it is as long as before. A statement that sets nothing
        else goes as a whole.
    """
    kept, names, begin = bytearray(definition), [], 0
    for part in _PART.finditer(definition):
        if part["end"]:
            begin = part.end()
        if part["list"] is None:
            continue
        items = _ITEM.findall(part["list"])
        own = [found[1].decode() for item in items if (found := _OWN.match(item))]
        if not own:
            continue
        names += own
        left = b",".join(item for item in items if not _OWN.match(item)).strip()
        if left:
            start, end = part.span("list")
        elif part["word"] == b"WITH":
            start, end = part.span()
        else:
            start, end = begin, definition.find(b";", part.end()) + 1 or len(definition)
        kept[start:end] = left.ljust(end - start)
    return bytes(kept), names
