"""ALTER DATABASE … SET, which pg_dump leaves out of a single database's dump."""

from __future__ import annotations

import re

import psycopg
from psycopg import sql

from cutover.postgres.connection import one_line, session
from cutover.postgres.transfer.errors import RestoreError

_RAW = {
    "search_path",
    "temp_tablespaces",
    "local_preload_libraries",
    "session_preload_libraries",
    "shared_preload_libraries",
}
"""Settings that are lists and stored with their quotes, so they are repeated as they are (PostgreSQL, dumputils.c)."""


def apply_settings(url: str, settings: tuple[tuple[str, str, str], ...]) -> list[RestoreError]:
    """Give the target database the source's own settings, those of roles in it among them; what was refused.

    Args:
        url: the target.
        settings: (role or "", name, value), as `Dump.settings` holds them.
    """
    failed = []
    for role, name, value in settings:
        with session(url, readonly=False) as connection:
            database = sql.Identifier(connection.info.dbname)
            raw = name in _RAW and re.fullmatch(r'[\w$", -]*', value)
            text = sql.SQL(value) if raw and value else sql.Literal(value)
            who = (
                sql.SQL("ROLE {} IN DATABASE {}").format(sql.Identifier(role), database)
                if role
                else sql.SQL("DATABASE {}").format(database)
            )
            statement = sql.SQL("ALTER {} SET {} TO {}").format(who, sql.Identifier(*name.split(".", 1)), text)
            try:
                connection.execute(statement)
            except psycopg.Error as error:
                words = one_line(error, url)
                failed.append(RestoreError("object", "DATABASE SETTING", name, words, statement.as_string(None)))
    return failed
