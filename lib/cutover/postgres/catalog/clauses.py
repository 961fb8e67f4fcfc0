"""The clauses that CREATE and ALTER share: literals, settings, and the options of sequences, members, publications."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import sql

ROLE_WORDS = {
    "login": "LOGIN",
    "superuser": "SUPERUSER",
    "inherit": "INHERIT",
    "createrole": "CREATEROLE",
    "createdb": "CREATEDB",
    "replication": "REPLICATION",
    "bypassrls": "BYPASSRLS",
}
"""Attributes of a role, and how SQL calls them."""

TRIGGER_STATES = {"enabled": "ENABLE", "disabled": "DISABLE", "replica": "ENABLE REPLICA", "always": "ENABLE ALWAYS"}
"""When a trigger or rule fires, and how ALTER says so."""

_LISTS = {
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "temp_tablespaces",
}
"""Settings whose value is kept as a list, quoted already (GUC_LIST_QUOTE in PostgreSQL's guc_tables.c)."""


def literal(value: Any) -> str:
    """A text as SQL writes it."""
    return sql.Literal(str(value)).as_string(None).lstrip()


def setting(has: Mapping[str, Any]) -> str:
    """A setting's value, as it stands after TO."""
    return str(has["value"]) if has["name"] in _LISTS else literal(has["value"])


def sequence_options(has: Mapping[str, Any]) -> str:
    """What CREATE and ALTER SEQUENCE take."""
    return (
        f"INCREMENT BY {has['increment']} MINVALUE {has['minimum']} MAXVALUE {has['maximum']} "
        f"START WITH {has['start']} CACHE {has['cache']} {'CYCLE' if has['cycle'] else 'NO CYCLE'}"
    )


def membership(has: Mapping[str, Any]) -> str:
    """With what a membership is granted."""
    if "set" in has:
        words = (f"{name.upper()} {str(has[name]).upper()}" for name in ("admin", "inherit", "set"))
        return f" WITH {', '.join(words)}"
    return " WITH ADMIN OPTION" if has["admin"] else ""


def published(has: Mapping[str, Any]) -> str:
    """The tables and schemas of a publication; empty when there are none."""
    parts = [f"TABLE {name}{what}" for name, what in sorted((has["tables"] or {}).items())]
    return ", ".join(parts + [f"TABLES IN SCHEMA {name}" for name in has["schemas"] or ()])


def publication_options(has: Mapping[str, Any]) -> str:
    """What a publication passes on."""
    return f"publish = {literal(has['publish'])}, publish_via_partition_root = {str(has['via root']).lower()}"


def foreign_options(options: Any) -> str:
    """OPTIONS of a foreign object; a secret's value is to be filled in."""
    if not options:
        return ""
    pairs = (str(option).partition("=") for option in options)
    return f" OPTIONS ({', '.join(f'{name} {literal(value)}' for name, _, value in pairs)})"


def mappings(name: str, wanted: Mapping[str, str], held: Mapping[str, str]) -> list[str]:
    """Statements that bring a text search configuration's mappings from what it has to what it should have."""
    start = f"ALTER TEXT SEARCH CONFIGURATION {name}"
    lines = [
        f"{start} {'ALTER' if token in held else 'ADD'} MAPPING FOR {token} WITH {dictionaries};"
        for token, dictionaries in sorted(wanted.items())
        if held.get(token) != dictionaries
    ]
    return lines + [f"{start} DROP MAPPING FOR {token};" for token in sorted(held.keys() - wanted.keys())]
