"""Databases as managed services give them: owned, filled and entered by an ordinary role, which another may read."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg

from cutover.rehearsal.postgres import Server

SCHEMA = """
CREATE SCHEMA shop;
CREATE TABLE shop.users (id serial PRIMARY KEY, email text UNIQUE, born date);
INSERT INTO shop.users (email, born) SELECT 'u' || n || '@example.com', date '1990-01-01' + n
    FROM generate_series(1, 100) n;
CREATE TABLE shop.notes (id int PRIMARY KEY, body text);
INSERT INTO shop.notes SELECT n, 'note ' || n FROM generate_series(1, 20) n;
CREATE VIEW shop.adults AS SELECT id, email FROM shop.users WHERE born < '1990-03-01';
CREATE FUNCTION shop.how_many() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM shop.users';
CREATE TYPE shop.size AS ENUM ('small', 'large');
ALTER TABLE shop.notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY everything ON shop.notes TO {reader} USING (true);
REVOKE EXECUTE ON FUNCTION shop.how_many() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.how_many() TO {reader};
GRANT USAGE ON SCHEMA shop TO {reader};
GRANT SELECT, INSERT ON shop.users TO {reader} WITH GRANT OPTION;
GRANT UPDATE (email) ON shop.users TO {reader};
GRANT SELECT (id) ON shop.adults TO {reader};
"""
"""By an owner, with a reader."""

LARGE_OBJECT = "SELECT lo_create(77); GRANT SELECT ON LARGE OBJECT 77 TO {reader}"
"""What a stream of rows does not carry."""

BESIDE = """
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO {reader};
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
REVOKE TRUNCATE ON shop.users FROM {owner};
"""
"""Grants that name the owner."""

POLICY = "CREATE POLICY mine ON shop.notes TO {owner}, {reader} USING (body <> '')"
"""A policy that names the owner."""


@dataclass(frozen=True)
class Owned:
    """A database of an ordinary role; names as SQL writes them.

    Attributes:
        url: as its owner enters it.
        admin: as the superuser does.
        owner, reader: the roles.
    """

    url: str
    admin: str
    owner: str
    reader: str

    def run(self, text: str, *, admin: bool = False) -> None:
        """Statements by the owner, or by the superuser; `{owner}` and `{reader}` stand for the roles."""
        with psycopg.connect(self.admin if admin else self.url, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(text.replace("{owner}", self.owner).replace("{reader}", self.reader).encode())

    @property
    def name(self) -> str:
        """The database's name."""
        return urlsplit(self.url).path[1:]


@contextmanager
def owned_database(server: Server, owner: str, reader: str, *texts: str) -> Iterator[Owned]:
    """A database of `owner`, who runs `texts` in it; it and its roles are dropped at the end.

    Args:
        server: where; the roles are made there, those that are there already are taken.
        owner, reader: their names, without SQL's quotes.
        texts: as in `Owned.run`.
    """
    name = f"owned_{secrets.token_hex(4)}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        known = {str(row[0]) for row in connection.execute("SELECT rolname FROM pg_roles")}
        made = [role for role in (owner, reader) if role not in known]
    for role in made:
        server.create_role(role)
    server.create_database(name, owner)
    quoted = [f'"{role}"' if role != role.lower() or " " in role else role for role in (owner, reader)]
    database = Owned(server.url(name, owner), server.url(name), *quoted)
    try:
        for text in texts:
            database.run(text)
        yield database
    finally:
        server.drop_database(name)
        for role in made:
            server.execute(f'DROP ROLE "{role}"')
