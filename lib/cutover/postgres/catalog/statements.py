"""The statement that makes an object anew from what the catalog says of it: a function for each kind of object."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cutover.postgres.catalog.clauses import (
    ROLE_WORDS,
    foreign_options,
    literal,
    mappings,
    membership,
    publication_options,
    published,
    sequence_options,
    setting,
)
from cutover.postgres.catalog.model import CatalogObject


def create(one: CatalogObject, database: str = "") -> str:
    """SQL that makes it; a comment where only the dump can.

    Args:
        one: the object as the source has it.
        database: the target database's name, quoted.
    """
    if one.kind in STATEMENTS_IN_DATABASE:
        return STATEMENTS_IN_DATABASE[one.kind](one, database)
    if one.kind in STATEMENTS:
        return STATEMENTS[one.kind](one)
    return f"-- restore {one.kind} {one.name} from the dump (pg_restore --list shows its entry)"


def _as_defined(one: CatalogObject) -> str:
    return f"{str(one.attributes['definition']).strip().rstrip(';')};"


def _constraint(one: CatalogObject) -> str:
    late = "" if one.attributes["validated"] else " NOT VALID"
    return f"ALTER TABLE {one.parent} ADD CONSTRAINT {one.short} {one.attributes['definition']}{late};"


def _view(one: CatalogObject) -> str:
    has = one.attributes
    options = f" WITH ({', '.join(has['options'])})" if has["options"] else ""
    data = " WITH NO DATA" if has.get("populated") is False else ""
    text = str(has["definition"]).strip().rstrip(";")
    return f"CREATE {one.kind.upper()} {one.name}{options} AS {text}{data};"


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


def _table(one: CatalogObject) -> str:
    # pg_restore takes names as they are, without SQL's quotes.
    schema, _, name = (part.strip('"').replace('""', '"') for part in one.name.rpartition("."))
    return (
        "-- from a shell, with the dump of the transfer; then its indexes, constraints and triggers:\n"
        f"-- pg_restore --schema={schema} --table={name} --no-owner --dbname=TARGET DUMP/archive"
    )


def _sequence(one: CatalogObject) -> str:
    return f"CREATE SEQUENCE {one.name} AS {one.attributes['type']} {sequence_options(one.attributes)};"


def _sequence_value(one: CatalogObject) -> str:
    has = one.attributes
    return f"SELECT setval({literal(one.name)}, {has['last value']}, {str(has['called']).lower()});"


def _extension(one: CatalogObject) -> str:
    return f"CREATE EXTENSION {one.name} SCHEMA {one.attributes['schema']};"


def _schema(one: CatalogObject) -> str:
    return f"CREATE SCHEMA {one.name};"


def _policy(one: CatalogObject) -> str:
    has = one.attributes
    using = f" USING ({has['using']})" if has.get("using") else ""
    check = f" WITH CHECK ({has['check']})" if has.get("check") else ""
    kind = "PERMISSIVE" if has["permissive"] else "RESTRICTIVE"
    roles = ", ".join(has["roles"])
    return f"CREATE POLICY {one.short} ON {one.parent} AS {kind} FOR {has['command']} TO {roles}{using}{check};"


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


_OPERATOR = ("FUNCTION", "LEFTARG", "RIGHTARG", "COMMUTATOR", "NEGATOR", "RESTRICT", "JOIN")


def _operator(one: CatalogObject) -> str:
    has = one.attributes
    parts = [f"{name} = {has[name]}" for name in _OPERATOR if has.get(name)]
    parts += [name for name in ("MERGES", "HASHES") if has[name]]
    return f"CREATE OPERATOR {has['name']} ({', '.join(parts)});"


def _cast(one: CatalogObject) -> str:
    has = one.attributes
    how = f"WITH FUNCTION {has['function']}" if has["function"] else ""
    how = how or ("WITH INOUT" if has["method"] == "inout" else "WITHOUT FUNCTION")
    when = "" if has["context"] == "explicit" else f" AS {str(has['context']).upper()}"
    return f"CREATE CAST ({one.name}) {how}{when};"


def _conversion(one: CatalogObject) -> str:
    has = one.attributes
    default = " DEFAULT" if has["default"] else ""
    ends = f"{literal(has['from'])} TO {literal(has['to'])}"
    return f"CREATE{default} CONVERSION {one.name} FOR {ends} FROM {has['function']};"


def _collation(one: CatalogObject) -> str:
    has = one.attributes
    rules = f", RULES = {literal(has['rules'])}" if has["rules"] else ""
    deterministic = str(has["deterministic"]).lower()
    return (
        f"CREATE COLLATION {one.name} (PROVIDER = {has['provider']}, LOCALE = {literal(has['locale'])}, "
        f"DETERMINISTIC = {deterministic}{rules});"
    )


def _text_search_functions(one: CatalogObject) -> str:
    parts = [f"{name} = {value}" for name, value in one.attributes.items() if name.isupper() and value]
    return f"CREATE {one.kind.upper()} {one.name} ({', '.join(parts)});"


def _text_search_dictionary(one: CatalogObject) -> str:
    has = one.attributes
    options = f", {has['options']}" if has["options"] else ""
    return f"CREATE TEXT SEARCH DICTIONARY {one.name} (TEMPLATE = {has['template']}{options});"


def _text_search_configuration(one: CatalogObject) -> str:
    lines = [f"CREATE TEXT SEARCH CONFIGURATION {one.name} (PARSER = {one.attributes['parser']});"]
    return "\n".join(lines + mappings(one.name, one.attributes["mappings"] or {}, {}))


def _language(one: CatalogObject) -> str:
    has = one.attributes
    trusted = " TRUSTED" if has["trusted"] else ""
    parts = [f" {name} {has[name]}" for name in ("HANDLER", "INLINE", "VALIDATOR") if has[name]]
    return f"CREATE{trusted} LANGUAGE {one.name}{''.join(parts)};"


def _transform(one: CatalogObject) -> str:
    both = (("FROM SQL", one.attributes["from"]), ("TO SQL", one.attributes["to"]))
    given = ", ".join(f"{word} WITH FUNCTION {function}" for word, function in both if function)
    return f"CREATE TRANSFORM {one.name} ({given});"


def _access_method(one: CatalogObject) -> str:
    return f"CREATE ACCESS METHOD {one.name} TYPE {one.attributes['type']} HANDLER {one.attributes['handler']};"


def _event_trigger(one: CatalogObject) -> str:
    has = one.attributes
    tags = f" WHEN TAG IN ({', '.join(map(literal, has['tags']))})" if has["tags"] else ""
    return f"CREATE EVENT TRIGGER {one.name} ON {has['event']}{tags} EXECUTE FUNCTION {has['function']}();"


def _publication(one: CatalogObject) -> str:
    has = one.attributes
    given = " FOR ALL TABLES" if has["all tables"] else f" FOR {published(has)}" if published(has) else ""
    return f"CREATE PUBLICATION {one.name}{given} WITH ({publication_options(has)});"


def _subscription(one: CatalogObject) -> str:
    return (
        f"CREATE SUBSCRIPTION {one.name} CONNECTION '…' PUBLICATION {', '.join(one.attributes['publications'])} "
        "WITH (connect = false);  -- with the connection string of its publisher"
    )


def _foreign_data_wrapper(one: CatalogObject) -> str:
    has = one.attributes
    parts = [f" {name} {has[name]}" for name in ("HANDLER", "VALIDATOR") if has[name]]
    return f"CREATE FOREIGN DATA WRAPPER {one.name}{''.join(parts)}{foreign_options(has['options'])};"


def _foreign_server(one: CatalogObject) -> str:
    has = one.attributes
    parts = [f" {name.upper()} {literal(has[name])}" for name in ("type", "version") if has[name]]
    wrapper = f" FOREIGN DATA WRAPPER {has['wrapper']}"
    return f"CREATE SERVER {one.name}{''.join(parts)}{wrapper}{foreign_options(has['options'])};"


def _user_mapping(one: CatalogObject) -> str:
    return f"CREATE USER MAPPING FOR {one.name}{foreign_options(one.attributes['options'])};"


def _role(one: CatalogObject) -> str:
    words = [(word if one.attributes[key] else f"NO{word}") for key, word in ROLE_WORDS.items()]
    return f"CREATE ROLE {one.name} {' '.join(words)};  -- then \\password {one.name}, where it logs in"


def _role_setting(one: CatalogObject) -> str:
    has = one.attributes
    return f"ALTER ROLE {has['role']} SET {has['name']} TO {setting(has)};"


def _role_membership(one: CatalogObject) -> str:
    has = one.attributes
    return f"GRANT {has['role']} TO {has['member']}{membership(has)};"


def _tablespace(one: CatalogObject) -> str:
    return f"CREATE TABLESPACE {one.name} LOCATION '…';  -- an empty folder on the target's machine"


def _database_setting(one: CatalogObject, database: str) -> str:
    has = one.attributes
    whom = f"ROLE {has['role']} IN DATABASE {database}" if has["role"] else f"DATABASE {database}"
    return f"ALTER {whom} SET {has['name']} TO {setting(has)};"


def _security_label(one: CatalogObject, database: str) -> str:
    has = one.attributes
    provider, _, rest = one.name.partition(" on ")
    kind = rest.removesuffix(str(has["object"])).strip().upper()
    where = f"{kind} {database if kind == 'DATABASE' else has['object']}"
    return f"SECURITY LABEL FOR {provider} ON {where} IS {literal(has['label'])};"


STATEMENTS: Mapping[str, Callable[[CatalogObject], str]] = {
    "access method": _access_method,
    "aggregate": _aggregate,
    "cast": _cast,
    "collation": _collation,
    "column": _column,
    "constraint": _constraint,
    "conversion": _conversion,
    "event trigger": _event_trigger,
    "extension": _extension,
    "foreign data wrapper": _foreign_data_wrapper,
    "foreign server": _foreign_server,
    "function": _as_defined,
    "index": _as_defined,
    "language": _language,
    "materialized view": _view,
    "operator": _operator,
    "policy": _policy,
    "publication": _publication,
    "role": _role,
    "role membership": _role_membership,
    "role setting": _role_setting,
    "rule": _as_defined,
    "schema": _schema,
    "sequence": _sequence,
    "sequence value": _sequence_value,
    "statistics": _as_defined,
    "subscription": _subscription,
    "table": _table,
    "tablespace": _tablespace,
    "text search configuration": _text_search_configuration,
    "text search dictionary": _text_search_dictionary,
    "text search parser": _text_search_functions,
    "text search template": _text_search_functions,
    "transform": _transform,
    "trigger": _as_defined,
    "type": _type,
    "user mapping": _user_mapping,
    "view": _view,
}
"""What makes an object, by its kind."""

STATEMENTS_IN_DATABASE: Mapping[str, Callable[[CatalogObject, str], str]] = {
    "database setting": _database_setting,
    "security label": _security_label,
}
"""Kinds whose statement names the target database."""
