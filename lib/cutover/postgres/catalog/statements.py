"""The statement that makes an object anew from what the catalog says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import sql

from cutover.postgres.catalog.model import CatalogObject


def create(one: CatalogObject, database: str = "") -> str:  # noqa: PLR0915 - a case for each kind
    """SQL that makes it; a comment where only the dump can.

    Args:
        one: the object as the source has it.
        database: the target database's name, quoted.
    """
    has = one.attributes
    match one.kind:
        case "index" | "trigger" | "rule" | "statistics" | "function":
            return f"{str(has['definition']).strip().rstrip(';')};"
        case "constraint":
            late = "" if has["validated"] else " NOT VALID"
            return f"ALTER TABLE {one.parent} ADD CONSTRAINT {one.short} {has['definition']}{late};"
        case "view" | "materialized view":
            options = f" WITH ({', '.join(has['options'])})" if has["options"] else ""
            data = " WITH NO DATA" if has.get("populated") is False else ""
            text = str(has["definition"]).strip().rstrip(";")
            return f"CREATE {one.kind.upper()} {one.name}{options} AS {text}{data};"
        case "column":
            return _column(one)
        case "table":
            # pg_restore takes names as they are, without SQL's quotes.
            schema, _, name = (part.strip('"').replace('""', '"') for part in one.name.rpartition("."))
            return (
                "-- from a shell, with the dump of the transfer; then its indexes, constraints and triggers:\n"
                f"-- pg_restore --schema={schema} --table={name} --no-owner --dbname=TARGET DUMP/archive"
            )
        case "sequence":
            return f"CREATE SEQUENCE {one.name} AS {has['type']} {sequence_options(has)};"
        case "sequence value":
            return f"SELECT setval({literal(one.name)}, {has['last value']}, {str(has['called']).lower()});"
        case "extension":
            return f"CREATE EXTENSION {one.name} SCHEMA {has['schema']};"
        case "schema":
            return f"CREATE SCHEMA {one.name};"
        case "policy":
            return _policy(one)
        case "type":
            return _type(one)
        case "aggregate":
            return _aggregate(one)
        case "operator":
            parts = [f"{name} = {has[name]}" for name in _OPERATOR if has.get(name)]
            parts += [name for name in ("MERGES", "HASHES") if has[name]]
            return f"CREATE OPERATOR {has['name']} ({', '.join(parts)});"
        case "cast":
            how = f"WITH FUNCTION {has['function']}" if has["function"] else ""
            how = how or ("WITH INOUT" if has["method"] == "inout" else "WITHOUT FUNCTION")
            when = "" if has["context"] == "explicit" else f" AS {str(has['context']).upper()}"
            return f"CREATE CAST ({one.name}) {how}{when};"
        case "conversion":
            default = " DEFAULT" if has["default"] else ""
            ends = f"{literal(has['from'])} TO {literal(has['to'])}"
            return f"CREATE{default} CONVERSION {one.name} FOR {ends} FROM {has['function']};"
        case "collation":
            rules = f", RULES = {literal(has['rules'])}" if has["rules"] else ""
            deterministic = str(has["deterministic"]).lower()
            return (
                f"CREATE COLLATION {one.name} (PROVIDER = {has['provider']}, LOCALE = {literal(has['locale'])}, "
                f"DETERMINISTIC = {deterministic}{rules});"
            )
        case "text search parser" | "text search template":
            parts = [f"{name} = {value}" for name, value in has.items() if name.isupper() and value]
            return f"CREATE {one.kind.upper()} {one.name} ({', '.join(parts)});"
        case "text search dictionary":
            options = f", {has['options']}" if has["options"] else ""
            return f"CREATE TEXT SEARCH DICTIONARY {one.name} (TEMPLATE = {has['template']}{options});"
        case "text search configuration":
            lines = [f"CREATE TEXT SEARCH CONFIGURATION {one.name} (PARSER = {has['parser']});"]
            return "\n".join(lines + mappings(one.name, has["mappings"] or {}, {}))
        case "language":
            trusted = " TRUSTED" if has["trusted"] else ""
            parts = [f" {name} {has[name]}" for name in ("HANDLER", "INLINE", "VALIDATOR") if has[name]]
            return f"CREATE{trusted} LANGUAGE {one.name}{''.join(parts)};"
        case "transform":
            both = (("FROM SQL", has["from"]), ("TO SQL", has["to"]))
            given = ", ".join(f"{word} WITH FUNCTION {function}" for word, function in both if function)
            return f"CREATE TRANSFORM {one.name} ({given});"
        case "access method":
            return f"CREATE ACCESS METHOD {one.name} TYPE {has['type']} HANDLER {has['handler']};"
        case "event trigger":
            tags = f" WHEN TAG IN ({', '.join(map(literal, has['tags']))})" if has["tags"] else ""
            return f"CREATE EVENT TRIGGER {one.name} ON {has['event']}{tags} EXECUTE FUNCTION {has['function']}();"
        case "publication":
            given = " FOR ALL TABLES" if has["all tables"] else f" FOR {published(has)}" if published(has) else ""
            return f"CREATE PUBLICATION {one.name}{given} WITH ({publication_options(has)});"
        case "subscription":
            return (
                f"CREATE SUBSCRIPTION {one.name} CONNECTION '…' PUBLICATION {', '.join(has['publications'])} "
                "WITH (connect = false);  -- with the connection string of its publisher"
            )
        case "foreign data wrapper":
            parts = [f" {name} {has[name]}" for name in ("HANDLER", "VALIDATOR") if has[name]]
            return f"CREATE FOREIGN DATA WRAPPER {one.name}{''.join(parts)}{foreign_options(has['options'])};"
        case "foreign server":
            parts = [f" {name.upper()} {literal(has[name])}" for name in ("type", "version") if has[name]]
            wrapper = f" FOREIGN DATA WRAPPER {has['wrapper']}"
            return f"CREATE SERVER {one.name}{''.join(parts)}{wrapper}{foreign_options(has['options'])};"
        case "user mapping":
            return f"CREATE USER MAPPING FOR {one.name}{foreign_options(has['options'])};"
        case "database setting":
            whom = f"ROLE {has['role']} IN DATABASE {database}" if has["role"] else f"DATABASE {database}"
            return f"ALTER {whom} SET {has['name']} TO {setting(has)};"
        case "role setting":
            return f"ALTER ROLE {has['role']} SET {has['name']} TO {setting(has)};"
        case "role":
            words = [(word if has[key] else f"NO{word}") for key, word in ROLE_WORDS.items()]
            return f"CREATE ROLE {one.name} {' '.join(words)};  -- then \\password {one.name}, where it logs in"
        case "role membership":
            return f"GRANT {has['role']} TO {has['member']}{membership(has)};"
        case "security label":
            provider, _, rest = one.name.partition(" on ")
            kind = rest.removesuffix(str(has["object"])).strip().upper()
            where = f"{kind} {database if kind == 'DATABASE' else has['object']}"
            return f"SECURITY LABEL FOR {provider} ON {where} IS {literal(has['label'])};"
        case "tablespace":
            return f"CREATE TABLESPACE {one.name} LOCATION '…';  -- an empty folder on the target's machine"
    return f"-- restore {one.kind} {one.name} from the dump (pg_restore --list shows its entry)"


_OPERATOR = ("FUNCTION", "LEFTARG", "RIGHTARG", "COMMUTATOR", "NEGATOR", "RESTRICT", "JOIN")

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


def _column(one: CatalogObject) -> str:
    has = one.attributes
    text = f"ALTER TABLE {one.parent} ADD COLUMN {one.short} {has['type']}"
    if has["collation"]:
        text += f" COLLATE {has['collation']}"
    if has["generated"]:
        kind, _, expression = str(has["generated"]).partition(" ")
        return f"{text} GENERATED ALWAYS AS ({expression}) {kind.upper()}{' NOT NULL' if has['not null'] else ''};"
    if has["identity"]:
        return f"{text} GENERATED {str(has['identity']).upper()} AS IDENTITY;"
    if has["default"]:
        text += f" DEFAULT {has['default']}"
    late = f"\n-- once its values are copied:\n-- ALTER TABLE {one.parent} ALTER COLUMN {one.short} SET NOT NULL;"
    return f"{text};{late if has['not null'] else ''}"


def _policy(one: CatalogObject) -> str:
    has = one.attributes
    using = f" USING ({has['using']})" if has.get("using") else ""
    check = f" WITH CHECK ({has['check']})" if has.get("check") else ""
    kind = "PERMISSIVE" if has["permissive"] else "RESTRICTIVE"
    roles = ", ".join(has["roles"])
    return f"CREATE POLICY {one.short} ON {one.parent} AS {kind} FOR {has['command']} TO {roles}{using}{check};"


def _aggregate(one: CatalogObject) -> str:
    has = one.attributes
    parts = []
    for name, value in has.items():
        if name.isupper():
            shown = literal(value) if name in ("INITCOND", "MINITCOND") else str(value)
            parts.append(name if value is True else f"{name} = {shown}")
    if has["kind"] == "hypothetical":
        parts.append("HYPOTHETICAL")
    return f"CREATE OR REPLACE AGGREGATE {one.name.rsplit('(', 1)[0]}({has['arguments']}) ({', '.join(sorted(parts))});"


def _type(one: CatalogObject) -> str:
    has = one.attributes
    match has["kind"]:
        case "enum":
            return f"CREATE TYPE {one.name} AS ENUM ({', '.join(map(literal, has['labels'] or []))});"
        case "composite":
            return f"CREATE TYPE {one.name} AS ({', '.join(has['attributes'] or [])});"
        case "domain":
            collate = f" COLLATE {has['collation']}" if has["collation"] else ""
            default = f" DEFAULT {has['default']}" if has["default"] else ""
            checks = "".join(f" CONSTRAINT {name} {text}" for name, text in (has["constraints"] or {}).items())
            needed = " NOT NULL" if has["not null"] else ""
            return f"CREATE DOMAIN {one.name} AS {has['base']}{collate}{default}{needed}{checks};"
        case "range":
            parts = [f"{name} = {value}" for name, value in has["range"].items() if value]
            return f"CREATE TYPE {one.name} AS RANGE ({', '.join(parts)});"
        case "shell":
            return f"CREATE TYPE {one.name};"
    return f"-- restore type {one.name} from the dump: its input and output functions belong to it"
