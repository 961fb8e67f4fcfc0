"""One change at a time to everything that a catalog holds: found, called by its name, and fixed by its remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psycopg
import pytest

from cutover.finding import Finding, Status
from cutover.postgres import Catalog, compare_catalogs, read_catalog


@dataclass(frozen=True)
class Mutation:
    """A change of the target: its SQL, the finding that names it, words that must be in it, whether SQL can fix it."""

    sql: str
    finding: str
    words: str
    fixes: bool = True


FIRST = {
    # The 34 on which other tools were measured.
    "a foreign key dropped": Mutation(
        "ALTER TABLE shop.notes DROP CONSTRAINT notes_owner_fkey",
        "constraint:shop.notes.notes_owner_fkey",
        "foreign key notes_owner_fkey on shop.notes is missing on the target: FOREIGN KEY (owner) REFERENCES",
    ),
    "a foreign key not valid": Mutation(
        "ALTER TABLE shop.notes DROP CONSTRAINT reply, ADD CONSTRAINT reply FOREIGN KEY (reply_to) REFERENCES "
        "shop.notes MATCH FULL NOT VALID",
        "constraint:shop.notes.reply",
        "foreign key reply on shop.notes is NOT VALID on the target",
    ),
    "a check dropped": Mutation(
        "ALTER TABLE shop.users DROP CONSTRAINT not_poor",
        "constraint:shop.users.not_poor",
        "check constraint not_poor on shop.users is missing on the target",
    ),
    "a trigger dropped": Mutation(
        "DROP TRIGGER touch ON shop.users", "trigger:shop.users.touch", "trigger touch on shop.users is missing"
    ),
    "a trigger disabled": Mutation(
        "ALTER TABLE shop.notes DISABLE TRIGGER later",
        "trigger:shop.notes.later",
        "trigger later on shop.notes is DISABLED on the target, enabled on the source",
    ),
    "a view dropped": Mutation("DROP VIEW shop.unioned", "view:shop.unioned", "view shop.unioned is missing"),
    "a view's body": Mutation(
        "CREATE OR REPLACE VIEW shop.grouped AS SELECT size, born, sum(balance) AS total FROM shop.users "
        "WHERE id > 3 GROUP BY GROUPING SETS ((size, born), ())",
        "view:shop.grouped",
        "view shop.grouped has another definition: on the target `WHERE (id > 3)",
    ),
    "a function dropped": Mutation(
        "DROP FUNCTION shop.series(int)", "function:shop.series(integer)", "function shop.series(integer) is missing"
    ),
    "a function's body": Mutation(
        "CREATE OR REPLACE FUNCTION shop.twice(x int DEFAULT 1, VARIADIC more int[] DEFAULT '{}') RETURNS int "
        "LANGUAGE sql IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE COST 7 AS 'SELECT x * 3'",
        "function:shop.twice(integer,integer[])",
        "on the target `AS $function$SELECT x * 3$function$`, on the source `AS $function$SELECT x * 2$function$`",
    ),
    "a column's type": Mutation(
        'ALTER TABLE shop."Odd.Table" ALTER "a.b" TYPE bigint',
        'column:shop."Odd.Table"."a.b"',
        'column shop."Odd.Table"."a.b" is bigint on the target, integer on the source',
    ),
    "a timestamp's precision": Mutation(
        "ALTER TABLE shop.users ALTER changed TYPE timestamptz(6)",
        "column:shop.users.changed",
        "is timestamp(6) with time zone on the target, timestamp(3) with time zone on the source",
    ),
    "NOT NULL dropped": Mutation(
        "ALTER TABLE shop.users ALTER name DROP NOT NULL",
        "column:shop.users.name",
        "column shop.users.name takes NULL on the target; it is NOT NULL on the source",
    ),
    "a default changed": Mutation(
        "ALTER TABLE shop.users ALTER size SET DEFAULT 'large'",
        "column:shop.users.size",
        "has default 'large'::shop.size on the target, 'small'::shop.size on the source",
    ),
    "a column dropped": Mutation(
        'ALTER TABLE shop."Odd.Table" DROP COLUMN "c d"',
        'column:shop."Odd.Table"."c d"',
        'column shop."Odd.Table"."c d" is missing on the target: text',
    ),
    "a column more": Mutation(
        "ALTER TABLE shop.cache ADD COLUMN more text", "column:shop.cache.more", "is on the target only: text"
    ),
    "a table more": Mutation(
        "CREATE TABLE shop.more (x serial PRIMARY KEY)",
        "table:shop.more",
        "table shop.more is on the target only",
        False,
    ),
    "a table missing": Mutation(
        "DROP TABLE shop.typed", "table:shop.typed", "table shop.typed is missing on the target", False
    ),
    "an index dropped": Mutation(
        "DROP INDEX shop.users_born",
        "index:shop.users_born",
        "index shop.users_born is missing on the target: CREATE INDEX users_born ON shop.users",
    ),
    "a sequence behind": Mutation(
        "SELECT setval('shop.notes_id_seq', 3)",
        "sequence-value:shop.notes_id_seq",
        "sequence shop.notes_id_seq stands at 3 on the target, at 20 on the source: it hands out numbers that exist",
    ),
    "a sequence's increment": Mutation(
        "ALTER SEQUENCE shop.ticket INCREMENT 1", "sequence:shop.ticket", "has increment 1 on the target, 5 on the"
    ),
    "an owner": Mutation(
        "ALTER TABLE shop.other OWNER TO pg_monitor", "owner", "table shop.other belongs to pg_monitor on the target"
    ),
    "a grant": Mutation("REVOKE SELECT ON shop.notes FROM PUBLIC", "acl", "table shop.notes differs in its grants"),
    "row-level security": Mutation(
        "ALTER TABLE shop.base ENABLE ROW LEVEL SECURITY", "table:shop.base", "row-level security ON on the target only"
    ),
    "unlogged": Mutation(
        'ALTER TABLE shop."Odd.Table" SET UNLOGGED', 'table:shop."Odd.Table"', "is UNLOGGED on the target"
    ),
    "an extension": Mutation(
        "CREATE EXTENSION pg_trgm SCHEMA shop", "extension:pg_trgm", "extension pg_trgm is on the target only: version"
    ),
    "a comment": Mutation(
        "COMMENT ON TABLE shop.users IS 'Folk'",
        "comment:table shop.users",
        "table shop.users is described by 'Folk' on the target, by 'People\nand 'others'' on the source",
    ),
    "a replica identity": Mutation(
        "ALTER TABLE shop.bag REPLICA IDENTITY DEFAULT",
        "table:shop.bag",
        "table shop.bag has replica identity default on the target, full on the source",
    ),
    "an enum's label": Mutation(
        "ALTER TYPE shop.size ADD VALUE 'huge' AFTER 'small'",
        "type:shop.size",
        "enum type shop.size differs in its labels: the target has huge more",
        False,
    ),
    "a column's collation": Mutation(
        'ALTER TABLE shop.links ALTER word TYPE text COLLATE "POSIX"',
        "column:shop.links.word",
        'column shop.links.word has collation "POSIX" on the target, none on the source',
    ),
    "a partition detached": Mutation(
        "ALTER TABLE shop.events DETACH PARTITION shop.events_old",
        "table:shop.events_old",
        "partition shop.events_old differs in its inherits: the target lacks shop.events; is no partition",
    ),
    "a materialised view emptied": Mutation(
        "REFRESH MATERIALIZED VIEW shop.totals WITH NO DATA",
        "materialized-view:shop.totals",
        "materialized view shop.totals is not populated on the target: reading it is an error",
    ),
    "a storage option": Mutation(
        "ALTER TABLE shop.notes SET (fillfactor = 70)", "table:shop.notes", "the target has fillfactor=70 more"
    ),
    "a database's setting": Mutation(
        "ALTER DATABASE {database} SET work_mem = '8MB'",
        "database-setting:work_mem",
        "setting work_mem of the database is on the target only: 8MB",
    ),
    # What those tools were not even asked.
    "a large object": Mutation(
        "SELECT lo_unlink(777)", "large-object:777", "large object 777 is missing on the target", False
    ),
    "a large object's grants": Mutation(
        "GRANT SELECT ON LARGE OBJECT 778 TO PUBLIC", "acl", "large object 778 differs in its grants"
    ),
    "default privileges": Mutation(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA shop REVOKE SELECT ON TABLES FROM PUBLIC",
        "default-privileges:of postgres in schema shop on tables",
        "default privileges of postgres in schema shop on tables are missing on the target",
    ),
    "default privileges everywhere": Mutation(
        "ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC",
        "default-privileges:of postgres on functions",
        "default privileges of postgres on functions are missing on the target: PUBLIC without EXECUTE",
    ),
    "a policy's expression": Mutation(
        "ALTER POLICY own ON shop.notes USING (owner = 2)",
        "policy:shop.notes.own",
        "policy own on shop.notes has using (owner = 2) on the target, (owner = 1) on the source",
    ),
    "a statistics object": Mutation(
        "DROP STATISTICS shop.bag_stats", "statistics:shop.bag_stats", "statistics object shop.bag_stats is missing"
    ),
    "a publication": Mutation(
        "ALTER PUBLICATION news SET TABLE shop.notes (id, owner) WHERE (owner > 6), shop.parts",
        "publication:news",
        "WHERE ((owner > 6))",
    ),
    "an event trigger": Mutation("DROP EVENT TRIGGER watch", "event-trigger:watch", "event trigger watch is missing"),
    "a generated expression": Mutation(
        "ALTER TABLE shop.users DROP COLUMN shout, ADD COLUMN shout text GENERATED ALWAYS AS (lower(name)) STORED",
        "column:shop.users.shout",
        "has generated stored lower(name) on the target, stored upper(name) on the source",
    ),
    "an identity's kind": Mutation(
        "ALTER TABLE shop.users ALTER id SET GENERATED BY DEFAULT",
        "column:shop.users.id",
        "has identity by default on the target, always on the source",
    ),
    "a domain's check": Mutation(
        "ALTER DOMAIN shop.email DROP CONSTRAINT has_at; ALTER DOMAIN shop.email ADD CONSTRAINT has_at "
        "CHECK (VALUE <> ''); COMMENT ON CONSTRAINT has_at ON DOMAIN shop.email IS 'Else nothing arrives'",
        "type:shop.email",
        "domain shop.email differs in its constraints: the target lacks has_at: CHECK ((VALUE ~~ '%@%'::text)) and has",
    ),
    "a range type": Mutation(
        "DROP TYPE shop.span; CREATE TYPE shop.span AS RANGE (subtype = float4, multirange_type_name = shop.spans)",
        "type:shop.span",
        "range type shop.span differs in its range",
    ),
    "an aggregate": Mutation(
        "DROP AGGREGATE shop.first(text); CREATE AGGREGATE shop.first(text) (SFUNC = shop.first_of, STYPE = text, "
        "INITCOND = 'x', PARALLEL = SAFE)",
        "aggregate:shop.first(text)",
        "aggregate shop.first(text) has INITCOND x on the target, none on the source",
    ),
    "an operator": Mutation(
        "DROP OPERATOR shop.%% (NONE, int)",
        "operator:shop.%%(NONE,integer)",
        "operator shop.%%(NONE,integer) is missing",
    ),
    "a cast": Mutation(
        "DROP CAST (int AS shop.size)", "cast:integer AS shop.size", "cast integer AS shop.size is missing"
    ),
    "a text search configuration": Mutation(
        "ALTER TEXT SEARCH CONFIGURATION shop.search ALTER MAPPING FOR word WITH pg_catalog.simple",
        "text-search-configuration:shop.search",
        "text search configuration shop.search differs in its mappings",
    ),
    # Last, for whatever rewrites the table builds its indexes anew.
    "an index invalid": Mutation(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'shop.users_lower'::regclass",
        "index:shop.users_lower",
        "index shop.users_lower is INVALID on the target",
    ),
}
"""The 34 changes on which other tools were measured, and those that nobody asked them."""

SECOND = {
    "a unique constraint's nulls": Mutation(
        "ALTER TABLE shop.users DROP CONSTRAINT one_home, ADD CONSTRAINT one_home UNIQUE (born, size) DEFERRABLE "
        "INITIALLY DEFERRED",
        "constraint:shop.users.one_home",
        "unique constraint one_home on shop.users has another definition",
    ),
    "an index's columns": Mutation(
        "DROP INDEX shop.users_born; CREATE INDEX users_born ON shop.users (born) WHERE born IS NOT NULL; "
        "COMMENT ON INDEX shop.users_born IS 'For birthdays'",
        "index:shop.users_born",
        "index shop.users_born has another definition",
    ),
    "an index's statistics target": Mutation(
        "ALTER INDEX shop.users_lower ALTER COLUMN 1 SET STATISTICS 10",
        "index:shop.users_lower",
        "index shop.users_lower differs in its statistics target",
    ),
    "an index that nothing clusters on": Mutation(
        "ALTER TABLE shop.users SET WITHOUT CLUSTER", "index:shop.users_email_key", "CLUSTER follows on the target"
    ),
    "a primary key dropped": Mutation(
        "ALTER TABLE shop.cache DROP CONSTRAINT cache_pkey",
        "constraint:shop.cache.cache_pkey",
        "primary key cache_pkey on shop.cache is missing on the target: PRIMARY KEY (k)",
    ),
    "foreign key triggers disabled": Mutation(
        "ALTER TABLE shop.links DISABLE TRIGGER ALL",
        "constraint:shop.links.links_user_id_fkey",
        "has its triggers DISABLED on the target: rows that break it are let in",
    ),
    "a rule disabled": Mutation(
        "ALTER TABLE shop.bag DISABLE RULE keep",
        "rule:shop.bag.keep",
        "rule keep on shop.bag is DISABLED on the target",
    ),
    "a rule dropped": Mutation("DROP RULE also ON shop.bag", "rule:shop.bag.also", "rule also on shop.bag is missing"),
    "a policy's roles": Mutation(
        "ALTER POLICY write ON shop.notes TO PUBLIC", "policy:shop.notes.write", "the target lacks pg_monitor and has"
    ),
    "a column's statistics target": Mutation(
        "ALTER TABLE shop.users ALTER name SET STATISTICS 50",
        "column:shop.users.name",
        "has statistics target 50 on the target, 500 on the source",
    ),
    "a column's storage": Mutation(
        "ALTER TABLE shop.users ALTER raw SET STORAGE EXTERNAL",
        "column:shop.users.raw",
        "has storage external on the target, none on the source",
    ),
    "a column's option": Mutation(
        "ALTER TABLE shop.users ALTER size SET (n_distinct = 4)", "column:shop.users.size", "lacks n_distinct=3 and has"
    ),
    "a column's grant": Mutation(
        "REVOKE UPDATE (word) ON shop.bag FROM PUBLIC",
        "acl",
        "column shop.bag.word differs in its grants: the target lacks PUBLIC UPDATE",
    ),
    "a grant with the right to pass it on": Mutation(
        "GRANT EXECUTE ON FUNCTION shop.series(int) TO pg_monitor; REVOKE GRANT OPTION FOR EXECUTE ON FUNCTION "
        "shop.series(int) FROM pg_monitor",
        "acl",
        "function shop.series(integer) differs in its grants: the target lacks pg_monitor EXECUTE WITH GRANT OPTION",
    ),
    "what the owner may do": Mutation(
        "GRANT DELETE ON shop.parts TO postgres", "acl", "table shop.parts differs in its grants"
    ),
    "a type's grant": Mutation("GRANT USAGE ON TYPE shop.size TO PUBLIC", "acl", "type shop.size differs in its"),
    "a schema's grant": Mutation("REVOKE USAGE ON SCHEMA shop FROM PUBLIC", "acl", "schema shop differs in its grants"),
    "a column's comment": Mutation(
        "COMMENT ON COLUMN shop.users.email IS NULL",
        "comment:column shop.users.email",
        "column shop.users.email is described by nothing on the target",
    ),
    "a policy's comment": Mutation(
        "COMMENT ON POLICY own ON shop.notes IS 'x'", "comment:policy shop.notes.own", "is described by 'x'"
    ),
    "an owned sequence": Mutation(
        "ALTER SEQUENCE shop.notes_id_seq OWNED BY NONE",
        "sequence:shop.notes_id_seq",
        "has owned by none on the target, shop.notes.id on the source",
    ),
    "a sequence ahead": Mutation(
        "SELECT setval('shop.ticket', 200)", "sequence-value:shop.ticket", "somebody drew numbers there"
    ),
    "a sequence that counts down": Mutation(
        "SELECT setval('shop.down', 1000)", "sequence-value:shop.down", "it hands out numbers that exist"
    ),
    "an identity's sequence": Mutation(
        "ALTER TABLE shop.users ALTER id SET INCREMENT 3", "sequence:shop.users_id_seq", "has increment 3 on the target"
    ),
    "inheritance": Mutation(
        "ALTER TABLE shop.derived NO INHERIT shop.other", "table:shop.derived", "the target lacks shop.other"
    ),
    "a table's order of columns": Mutation(
        "ALTER TABLE shop.spare DROP COLUMN a, ADD COLUMN a int", "table:shop.spare", "has another order", False
    ),
    "a view's options": Mutation(
        "ALTER VIEW shop.adults RESET (security_barrier); ALTER VIEW shop.adults ALTER name DROP DEFAULT",
        "view:shop.adults",
        "the target lacks security_barrier=true",
    ),
    "a view's columns": Mutation(
        "CREATE OR REPLACE VIEW shop.nested AS SELECT a.name, 1 AS one FROM shop.adults a WHERE a.id IN (SELECT owner "
        "FROM shop.notes) LIMIT 5",
        "view:shop.nested",
        "differs in its columns: the target has one integer more",
    ),
    "a materialised view dropped": Mutation(
        "DROP MATERIALIZED VIEW shop.totals", "materialized-view:shop.totals", "is missing on the target"
    ),
    "a function's volatility": Mutation(
        "ALTER FUNCTION shop.starts(text, text) VOLATILE", "function:shop.starts(text,text)", "IMMUTABLE STRICT"
    ),
    "a function's rights": Mutation(
        "ALTER FUNCTION shop.names_of(int) SECURITY DEFINER", "function:shop.names_of(integer)", "SECURITY DEFINER"
    ),
    "a procedure": Mutation(
        "DROP PROCEDURE shop.clean",
        "function:shop.clean(timestamp with time zone)",
        "procedure shop.clean(",
    ),
    "a composite type": Mutation(
        "ALTER TYPE shop.address DROP ATTRIBUTE since CASCADE",
        "type:shop.address",
        "composite type shop.address differs in its attributes: the target lacks since timestamp(3) with time zone",
    ),
    "a shell type": Mutation("DROP TYPE shop.later", "type:shop.later", "shell type shop.later is missing"),
    "a domain's default": Mutation(
        "ALTER DOMAIN shop.born SET DEFAULT '2001-02-04'; ALTER DOMAIN shop.born DROP NOT NULL",
        "type:shop.born",
        "domain shop.born has default '2001-02-04'::date on the target, '2001-02-03'::date on the source",
    ),
    "an operator's commutator": Mutation(
        "ALTER OPERATOR shop.=~ (int, int) SET (RESTRICT = NONE)",
        "operator:shop.=~(integer,integer)",
        "has RESTRICT none on the target",
    ),
    "an operator class": Mutation(
        "DROP OPERATOR CLASS shop.int_backwards USING btree",
        "operator-class:shop.int_backwards USING btree",
        "operator class shop.int_backwards USING btree is missing on the target",
        False,
    ),
    "a conversion": Mutation("DROP CONVERSION shop.from_latin1", "conversion:shop.from_latin1", "is missing"),
    "a collation": Mutation("DROP COLLATION shop.plain", "collation:shop.plain", "collation shop.plain is missing"),
    "a text search parser": Mutation(
        "DROP TEXT SEARCH PARSER shop.words", "text-search-parser:shop.words", "text search parser shop.words is"
    ),
    "a text search template": Mutation(
        "DROP TEXT SEARCH TEMPLATE shop.simple", "text-search-template:shop.simple", "template shop.simple is missing"
    ),
    "a text search dictionary": Mutation(
        "ALTER TEXT SEARCH DICTIONARY shop.names (ACCEPT = true)",
        "text-search-dictionary:shop.names",
        "has options accept = 'true' on the target, accept = 'false' on the source",
    ),
    "a transform": Mutation(
        "DROP TRANSFORM FOR shop.size LANGUAGE sql", "transform:FOR shop.size LANGUAGE sql", "transform FOR shop.size"
    ),
    "an access method": Mutation("DROP ACCESS METHOD tree", "access-method:tree", "access method tree is missing"),
    "a language": Mutation("DROP LANGUAGE plother", "language:plother", "language plother is missing on the target"),
    "a schema": Mutation("DROP SCHEMA attic", "schema:attic", "schema attic is missing on the target"),
    "an event trigger's state": Mutation(
        "ALTER EVENT TRIGGER watch DISABLE", "event-trigger:watch", "event trigger watch is DISABLED on the target"
    ),
    "what a publication passes on": Mutation(
        "ALTER PUBLICATION schemas SET (publish = 'insert')", "publication:schemas", "has publish insert on the target"
    ),
    "a statistics object's target": Mutation(
        "ALTER STATISTICS shop.bag_stats SET STATISTICS 10", "statistics:shop.bag_stats", "has statistics target 10"
    ),
    "a foreign data wrapper": Mutation(
        "ALTER FOREIGN DATA WRAPPER far OPTIONS (SET debug 'false')", "foreign-data-wrapper:far", "has debug=false more"
    ),
    "a foreign server": Mutation(
        "ALTER SERVER warehouse OPTIONS (SET port '5434')", "foreign-server:warehouse", "has port=5434 more"
    ),
    "a foreign table": Mutation(
        "ALTER FOREIGN TABLE shop.stock OPTIONS (SET table_name 'other')",
        "table:shop.stock",
        "foreign table shop.stock",
    ),
    "a foreign column": Mutation(
        "ALTER FOREIGN TABLE shop.stock ALTER id OPTIONS (SET column_name 'no')",
        "column:shop.stock.id",
        "column_name=no",
    ),
    "a user mapping": Mutation(
        "DROP USER MAPPING FOR PUBLIC SERVER warehouse",
        "user-mapping:PUBLIC SERVER warehouse",
        "user mapping FOR PUBLIC SERVER warehouse is missing on the target",
    ),
    "a grant on what the server brought": Mutation(
        "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_ls_waldir() FROM pg_read_all_data",
        "grant-beside:ROUTINE pg_ls_waldir()",
        "grants on ROUTINE pg_ls_waldir() are missing on the target: pg_read_all_data EXECUTE",
    ),
    "a security label": Mutation(
        "SET allow_system_table_mods = on; INSERT INTO pg_seclabel VALUES ('shop.bag'::regclass, "
        "'pg_class'::regclass, 0, 'guard', 'secret')",
        "security-label:guard on table shop.bag",
        "security label guard on table shop.bag is on the target only: secret",
        False,  # the provider is a module that no server here has
    ),
}
"""Whatever else a catalog holds."""


@pytest.fixture(scope="module")
def source(everything17: str) -> Catalog:
    """The source's catalog, read once."""
    return read_catalog(everything17)


def _run(url: str, text: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(text.encode())


def _wrong(findings: list[Finding]) -> dict[str, Finding]:
    return {
        f.id.removeprefix("INT-catalog-"): f
        for f in findings
        if f.status in (Status.FAIL, Status.MISSING, Status.UNKNOWN) and f.id != "INT-catalog"
    }


@pytest.mark.parametrize("batch", [FIRST, SECOND], ids=["first", "second"])
def test_every_change_is_found_by_its_name_and_mended_by_its_remedy(
    batch: dict[str, Mutation],
    source: Catalog,
    everything17: str,
    copy_of: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Many changes of different objects at once: one finding each, none beside, in both directions; then none left."""
    monkeypatch.setattr("cutover.postgres.catalog.compare.NAMED", 100)
    url = copy_of(everything17)
    name = url.rsplit("/", 1)[1]
    for title, mutation in batch.items():
        with psycopg.connect(url, autocommit=True) as connection:
            try:
                connection.execute(mutation.sql.replace("{database}", name).encode())
            except psycopg.Error as error:
                pytest.fail(f"{title}: {error}")
    target = read_catalog(url)
    assert not target.unread
    found = _wrong(compare_catalogs(source, target))
    expected = {m.finding for m in batch.values()}
    assert {"unexpected": sorted(found.keys() - expected), "not found": sorted(expected - found.keys())} == {
        "unexpected": [],
        "not found": [],
    }
    unsaid = {t: found[m.finding].observed for t, m in batch.items() if m.words not in found[m.finding].observed}
    assert unsaid == {}
    assert [key for key, finding in found.items() if not finding.remedy] == []
    assert sorted(_wrong(compare_catalogs(target, source))) == sorted(expected)
    refused = {}
    for key, finding in found.items():
        try:
            _run(url, finding.remedy)
        except psycopg.Error as error:
            if all(m.fixes for m in batch.values() if m.finding == key):
                refused[key] = f"{error}\n{finding.remedy}"
    assert refused == {}
    left = _wrong(compare_catalogs(source, read_catalog(url)))
    assert sorted(left) == sorted({m.finding for m in batch.values() if not m.fixes})
