"""Pieces of SQL that the queries of the catalog share.

Written for PostgreSQL 14 to 18 and for sessions with `PINNED` settings: an empty search_path qualifies every name, and
constants inside expressions are printed in one format whatever the server's TimeZone or DateStyle.
"""

# ruff: noqa: S608 - every part of these queries is a constant of this package

from __future__ import annotations

import json
import re

from cutover.postgres.server_options import users_own

USER = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'cutover_restore')"
"""The condition that a schema `n` is the application's."""

FIRST_NORMAL_OID = 16384
"""Objects below come with the server (PostgreSQL's access/transam.h)."""

_TO_PUBLIC = {
    "f": ["PUBLIC EXECUTE"],
    "T": ["PUBLIC USAGE"],
    "l": ["PUBLIC USAGE"],
    "d": ["PUBLIC CONNECT", "PUBLIC TEMPORARY"],
}
"""What PUBLIC may do where nothing was granted or revoked (`acldefault`, by its letter for the kind of object)."""

_SECRET = "(password|passfile|secret|token|sslkey|sslpassword|credential|private|access_?key)"  # noqa: S105


def is_secret(name: str) -> bool:
    """Whether an option of this name may hold a secret."""
    return re.search(_SECRET, name, re.IGNORECASE) is not None


def own(catalog: str, oid: str) -> str:
    """The condition that an object is no extension's."""
    return (
        f"NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{catalog}'::regclass AND e.objid = {oid} "
        "AND e.deptype = 'e')"
    )


def grantee(oid: str) -> str:
    """Who a grant is to: PUBLIC, or a role's name as SQL writes it."""
    return f"(CASE WHEN {oid} = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid({oid})) END)"


def acl(kind: str, column: str, owner: str) -> str:
    """Who but the owner may do what, as sorted lines `role PRIVILEGE [WITH GRANT OPTION]`.

    What the owner himself may no longer do is `owner without PRIVILEGE`. MAINTAIN came with 17, so an owner is not
    blamed for its lack.

    Args:
        kind: `acldefault`'s letter.
        column: the aclitem[].
        owner: the owner's oid.
    """
    return f"""CASE WHEN {column} IS NULL THEN '{json.dumps(_TO_PUBLIC.get(kind, []))}'::jsonb ELSE (
        SELECT coalesce(jsonb_agg(line ORDER BY line COLLATE "C"), '[]') FROM (
        SELECT DISTINCT {grantee("x.grantee")} || ' ' || x.privilege_type ||
               (CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) AS line
        FROM aclexplode({column}) x WHERE x.grantee <> {owner}
        UNION ALL SELECT 'owner without ' || z.privilege_type FROM aclexplode(acldefault('{kind}', {owner})) z
        WHERE z.grantee = {owner} AND z.privilege_type <> 'MAINTAIN' AND NOT EXISTS (
            SELECT FROM aclexplode({column}) h WHERE h.grantee = {owner} AND h.privilege_type = z.privilege_type)
    ) lines) END"""


def comment(catalog: str, oid: str, column: str = "0") -> str:
    """The pair `'comment', text`."""
    return (
        f"'comment', (SELECT y.description FROM pg_description y WHERE y.objoid = {oid} "
        f"AND y.classoid = '{catalog}'::regclass AND y.objsubid = {column})"
    )


def owner(oid: str) -> str:
    """The pair `'owner', name`, as SQL writes the name."""
    return f"'owner', quote_ident(pg_get_userbyid({oid}))"


def options(array: str) -> str:
    """`name=value` texts, sorted, without what the server writes for itself."""
    return f'(SELECT jsonb_agg(o ORDER BY o COLLATE "C") FROM unnest({array}) o WHERE {users_own("o")})'


def masked(array: str) -> str:
    """`name=value` texts, sorted; of what may be a secret only that it is set."""
    return f"""(SELECT jsonb_agg(CASE WHEN split_part(o, '=', 1) ~* '{_SECRET}' THEN split_part(o, '=', 1) || '=…'
        ELSE o END ORDER BY o COLLATE "C") FROM unnest({array}) o)"""


def tablespace(oid: str) -> str:
    """The pair `'tablespace', name`; null in the database's own."""
    return f"'tablespace', (SELECT quote_ident(s.spcname) FROM pg_tablespace s WHERE s.oid = {oid})"


def columns_beside(oid: str, owned: str) -> str:
    """What depends on the columns of a view or a composite type: defaults, comments, grants, targets, as an object."""
    return f"""(SELECT jsonb_object_agg(name, found) FROM (
        SELECT quote_ident(a.attname) AS name, jsonb_strip_nulls(jsonb_build_object(
            'default', (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
                        WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum),
            {comment("pg_class", "a.attrelid", "a.attnum")},
            'grants', CASE WHEN a.attacl IS NOT NULL THEN {acl("c", "a.attacl", owned)} END,
            'statistics', nullif(a.attstattarget, -1), 'options', {options("a.attoptions")},
            'compression', nullif(a.attcompression::text, ''))) AS found
        FROM pg_attribute a WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped) beside
        WHERE found <> '{{}}')"""
