"""The source's texts as the target's server prints them, so that two majors can be compared as if they were one.

PostgreSQL keeps views, rules and expressions as parse trees and prints them anew each time, each major in its own
way. A restore hands the source's text to the target's server, which parses it. The same is done here, with a
temporary object that is rolled back at once: equal texts then mean equal trees.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg

from cutover.postgres.catalog.differences import PRINTED
from cutover.postgres.catalog.model import Catalog, CatalogObject
from cutover.postgres.connection import session

Connection = psycopg.Connection[Any]

_LIKE = "CREATE TEMPORARY TABLE printed (LIKE {})"
_TEMPORARY = re.compile(r"pg_temp(_\d+)?\.printed\b")


def printed_by(target_url: str, source: Catalog, target: Catalog) -> Catalog:
    """Those of the source's objects that the target prints otherwise, with their texts as the target's server has them.

    Nothing is written: each temporary object is rolled back. What the role may not create, or the server does not
    take, is left out; `compare_catalogs` then says that it is not known.

    Args:
        target_url: the target; its objects are what the texts refer to.
        source, target: the catalogs.

    Raises:
        DatabaseError: the target cannot be reached.
    """
    objects: dict[tuple[str, str], CatalogObject] = {}
    doubtful = list(_doubtful(source, target))
    if doubtful:
        with session(target_url, readonly=False, autocommit=False) as connection:
            connection.read_only = False  # even where a write freeze makes that the default
            for one, name in doubtful:
                try:
                    with connection.transaction(force_rollback=True):
                        text = _print(connection, one, name)
                except psycopg.Error:
                    continue
                if text is not None:
                    known = objects.get((one.kind, one.name), replace(one, attributes={}))
                    objects[one.kind, one.name] = replace(known, attributes={**known.attributes, name: text})
            connection.rollback()
    return Catalog(target.database, target.major, target.at, objects)


def _doubtful(source: Catalog, target: Catalog) -> Iterator[tuple[CatalogObject, str]]:
    if source.major == target.major:
        return
    for key, one in source.objects.items():
        there = target.objects.get(key)
        if there is None:
            continue
        for name, value in one.attributes.items():
            if (one.kind, name) in PRINTED and value and there.attributes.get(name) not in (None, value):
                yield one, name


def _print(connection: Connection, one: CatalogObject, name: str) -> str | None:
    """The text as this server prints it; None for what is not tried."""
    text = str(one.attributes[name]).strip().rstrip(";")
    match one.kind, name:
        case (("view" | "materialized view"), _):
            _run(connection, f"CREATE TEMPORARY VIEW printed AS {text}")
            return _value(connection, "SELECT pg_get_viewdef('pg_temp.printed'::regclass)")
        case "function", _ if one.attributes["parsed"]:
            head = one.name.split("(", 1)[0]
            _run(connection, text.replace(f" {head}(", " pg_temp.printed(", 1))
            query = "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = 'printed' AND pronamespace = "
            return _back(_value(connection, f"{query}pg_my_temp_schema()"), head)
        case "rule", _:
            _run(connection, _LIKE.format(one.parent))
            _run(connection, text.replace(f" TO {one.parent}", " TO pg_temp.printed", 1))
            query = "SELECT pg_get_ruledef(oid) FROM pg_rewrite WHERE ev_class = 'pg_temp.printed'::regclass"
            return _back(_value(connection, query), one.parent)
        case "constraint", _ if one.attributes["kind"] == "check constraint":
            _run(connection, _LIKE.format(one.parent))
            _run(connection, f"ALTER TABLE pg_temp.printed ADD CONSTRAINT printed {text}")
            query = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'printed' AND conrelid = "
            return _value(connection, f"{query}'pg_temp.printed'::regclass")
        case "column", "default":
            _run(connection, _LIKE.format(one.parent))
            _run(connection, f"ALTER TABLE pg_temp.printed ALTER COLUMN {one.short} SET DEFAULT {text}")
            query = "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'pg_temp.printed'::regclass"
            return _value(connection, query)
        case "column", "generated":
            kind, _, expression = text.partition(" ")
            _run(connection, _LIKE.format(one.parent))
            column = f"printed {one.attributes['type']} GENERATED ALWAYS AS ({expression}) {kind}"
            _run(connection, f"ALTER TABLE pg_temp.printed ADD COLUMN {column}")
            query = "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'pg_temp.printed'::regclass"
            return f"{kind} {_value(connection, query)}"
        case "policy", "using" | "check":
            _run(connection, _LIKE.format(one.parent))
            clause, column = ("USING", "polqual") if name == "using" else ("WITH CHECK", "polwithcheck")
            command = " FOR INSERT" if name == "check" else ""
            _run(connection, f"CREATE POLICY printed ON pg_temp.printed{command} {clause} ({text})")
            query = f"SELECT pg_get_expr({column}, polrelid) FROM pg_policy WHERE polrelid = "  # noqa: S608
            return _value(connection, f"{query}'pg_temp.printed'::regclass")
        case "index", _:
            short = one.name.rpartition(".")[2]
            _run(connection, _LIKE.format(one.parent))
            text = re.sub(
                rf" INDEX {re.escape(short)} ON (ONLY )?{re.escape(one.parent)} ",
                " INDEX printed_idx ON pg_temp.printed ",
                text,
                count=1,
            )
            _run(connection, text)
            printed = _value(connection, "SELECT pg_get_indexdef('pg_temp.printed_idx'::regclass)")
            only = "ONLY " if f" ON ONLY {one.parent} " in str(one.attributes[name]) else ""
            return _back(printed, f"{only}{one.parent}").replace(" printed_idx ", f" {short} ", 1)
    return None


def _run(connection: Connection, text: str) -> None:
    connection.execute(text.encode())


def _value(connection: Connection, query: str) -> str:
    row = connection.execute(query.encode()).fetchone()
    return str(row[0]) if row else ""


def _back(printed: str, name: str) -> str:
    """The text with the object's own name again."""
    return _TEMPORARY.sub(lambda _: name, printed)
