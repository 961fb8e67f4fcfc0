"""SQL that lists tables and what depends on them, views, indexes and sequences: (name, parent, attributes as jsonb)."""

# ruff: noqa: S608 - every part of these queries is a constant of this package

from __future__ import annotations

from cutover.postgres.catalog.query_parts import (
    USER,
    acl,
    columns_beside,
    comment,
    grantee,
    masked,
    options,
    own,
    owner,
    tablespace,
)

_ENABLED = "CASE {} WHEN 'O' THEN 'enabled' WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' ELSE 'always' END"


def relation_queries(major: int) -> dict[str, str]:
    """Queries by kind of object, for a server of this major."""
    enforced = "k.conenforced" if major >= 18 else "true"
    virtual = "CASE a.attgenerated WHEN 's' THEN 'stored ' ELSE 'virtual ' END" if major >= 18 else "'stored '"
    return {
        "schema": f"""
            SELECT quote_ident(n.nspname), '', jsonb_build_object({comment("pg_namespace", "n.oid")},
                {owner("n.nspowner")}, 'acl', {acl("n", "n.nspacl", "n.nspowner")})
            FROM pg_namespace n WHERE {USER} AND {own("pg_namespace", "n.oid")}""",
        "extension": """
            SELECT quote_ident(e.extname), '', jsonb_build_object('version', e.extversion,
                'schema', quote_ident(n.nspname))
            FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace""",
        "table": f"""
            SELECT c.oid::regclass::text, '', jsonb_build_object(
                'kind', CASE c.relkind WHEN 'p' THEN 'partitioned' WHEN 'f' THEN 'foreign' ELSE 'ordinary' END,
                'persistence', CASE c.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'permanent' END,
                'partition key', CASE c.relkind WHEN 'p' THEN pg_get_partkeydef(c.oid) END,
                'partition bound', pg_get_expr(c.relpartbound, c.oid),
                'inherits', (SELECT jsonb_agg(i.inhparent::regclass::text || (CASE WHEN i.inhdetachpending
                             THEN ' (detach pending)' ELSE '' END) ORDER BY i.inhseqno)
                             FROM pg_inherits i WHERE i.inhrelid = c.oid),
                'access method', (SELECT amname FROM pg_am WHERE oid = c.relam),
                'row security', c.relrowsecurity, 'row security forced', c.relforcerowsecurity,
                'replica identity', CASE c.relreplident WHEN 'd' THEN 'default' WHEN 'n' THEN 'nothing'
                    WHEN 'f' THEN 'full' ELSE 'index ' || (SELECT quote_ident(x.relname) FROM pg_index i
                        JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indisreplident) END,
                'options', {options("c.reloptions")},
                'toast options', (SELECT {options("t.reloptions")} FROM pg_class t WHERE t.oid = c.reltoastrelid),
                'of type', CASE WHEN c.reloftype <> 0 THEN c.reloftype::regtype::text END,
                'foreign server', (SELECT quote_ident(s.srvname) FROM pg_foreign_table f
                    JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid),
                'foreign options', (SELECT {masked("f.ftoptions")} FROM pg_foreign_table f WHERE f.ftrelid = c.oid),
                'column order', CASE WHEN c.relispartition OR NOT EXISTS (
                    SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid) THEN (
                    SELECT jsonb_agg(quote_ident(a.attname) ORDER BY a.attnum) FROM pg_attribute a
                    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) END,
                {tablespace("c.reltablespace")}, {comment("pg_class", "c.oid")},
                {owner("c.relowner")}, 'acl', {acl("r", "c.relacl", "c.relowner")})
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND {USER} AND {own("pg_class", "c.oid")}""",
        "column": f"""
            SELECT c.oid::regclass::text || '.' || quote_ident(a.attname), c.oid::regclass::text, jsonb_build_object(
                'type', format_type(a.atttypid, a.atttypmod),
                'collation', CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END,
                'not null', a.attnotnull,
                'not null validated', {_not_null("bool_and(k.convalidated)", "true", major)},
                'not null constraint', {_not_null("min(quote_ident(k.conname))", "NULL::text", major)},
                'not null inherited', {_not_null("bool_and(NOT k.connoinherit)", "true", major)},
                'default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
                'generated', CASE WHEN a.attgenerated <> '' THEN {virtual} || pg_get_expr(d.adbin, d.adrelid) END,
                'identity', CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END,
                'storage', CASE WHEN a.attstorage <> t.typstorage THEN CASE a.attstorage WHEN 'p' THEN 'plain'
                    WHEN 'e' THEN 'external' WHEN 'm' THEN 'main' ELSE 'extended' END END,
                'compression', CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END,
                'statistics', nullif(a.attstattarget, -1),
                'options', {options("a.attoptions")}, 'foreign options', {masked("a.attfdwoptions")},
                {comment("pg_class", "c.oid", "a.attnum")}, 'table owner', quote_ident(pg_get_userbyid(c.relowner)),
                'acl', {acl("c", "a.attacl", "c.relowner")})
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_type t ON t.oid = a.atttypid
            LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't'
              AND {USER} AND {own("pg_class", "c.oid")}""",
        "constraint": f"""
            SELECT c.oid::regclass::text || '.' || quote_ident(k.conname), c.oid::regclass::text, jsonb_build_object(
                'kind', CASE k.contype WHEN 'c' THEN 'check constraint' WHEN 'f' THEN 'foreign key' WHEN 'p' THEN
                    'primary key' WHEN 'u' THEN 'unique constraint' ELSE 'exclusion constraint' END,
                'definition', regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''),
                'validated', k.convalidated OR NOT {enforced}, 'enforced', {enforced},
                'triggers disabled', EXISTS (
                    SELECT FROM pg_trigger g WHERE g.tgconstraint = k.oid AND g.tgenabled = 'D'),
                {comment("pg_constraint", "k.oid")})
            FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conparentid = 0 AND c.relpersistence <> 't'
              AND NOT (k.contype = 'c' AND k.coninhcount > 0) AND {USER} AND {own("pg_class", "c.oid")}""",
        "index": f"""
            SELECT x.oid::regclass::text, c.oid::regclass::text, jsonb_build_object(
                'definition', pg_get_indexdef(x.oid), 'valid', i.indisvalid AND i.indisready AND i.indislive,
                'unique', i.indisunique, 'clustered', i.indisclustered,
                'attached to', (SELECT h.inhparent::regclass::text FROM pg_inherits h WHERE h.inhrelid = x.oid),
                'of constraint', (SELECT c.oid::regclass::text || '.' || quote_ident(k.conname) FROM pg_constraint k
                    WHERE k.conindid = x.oid AND k.contype IN ('p', 'u', 'x') LIMIT 1),
                'statistics', (SELECT jsonb_object_agg(a.attnum, a.attstattarget) FROM pg_attribute a
                    WHERE a.attrelid = x.oid AND a.attstattarget >= 0),
                {tablespace("x.reltablespace")}, {comment("pg_class", "x.oid")})
            FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
            JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE {USER} AND c.relpersistence <> 't' AND {own("pg_class", "c.oid")}""",
        "sequence": f"""
            SELECT c.oid::regclass::text, '', jsonb_build_object('type', format_type(s.seqtypid, NULL),
                'start', s.seqstart, 'minimum', s.seqmin, 'maximum', s.seqmax, 'increment', s.seqincrement,
                'cache', s.seqcache, 'cycle', s.seqcycle,
                'owned by', d.refobjid::regclass::text || '.' || quote_ident(a.attname), 'identity', d.deptype = 'i',
                'readable', has_sequence_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE'),
                'persistence', CASE c.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'permanent' END,
                {comment("pg_class", "c.oid")},
                {owner("c.relowner")}, 'acl', {acl("s", "c.relacl", "c.relowner")})
            FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
                AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
            LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
            WHERE c.relpersistence <> 't' AND {USER} AND {own("pg_class", "c.oid")}""",
        "view": f"""
            SELECT c.oid::regclass::text, '', jsonb_build_object('definition', pg_get_viewdef(c.oid),
                'options', {options("c.reloptions")},
                'columns', {_columns("c.oid")}, 'on columns', {columns_beside("c.oid", "c.relowner")},
                {comment("pg_class", "c.oid")},
                {owner("c.relowner")}, 'acl', {acl("r", "c.relacl", "c.relowner")})
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind = 'v' AND {USER} AND {own("pg_class", "c.oid")}""",
        "materialized view": f"""
            SELECT c.oid::regclass::text, '', jsonb_build_object('definition', pg_get_viewdef(c.oid),
                'populated', c.relispopulated, 'options', {options("c.reloptions")},
                'access method', (SELECT amname FROM pg_am WHERE oid = c.relam),
                'columns', {_columns("c.oid")}, 'on columns', {columns_beside("c.oid", "c.relowner")},
                {tablespace("c.reltablespace")}, {comment("pg_class", "c.oid")},
                {owner("c.relowner")}, 'acl', {acl("r", "c.relacl", "c.relowner")})
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind = 'm' AND {USER} AND {own("pg_class", "c.oid")}""",
        "trigger": f"""
            SELECT c.oid::regclass::text || '.' || quote_ident(g.tgname), c.oid::regclass::text, jsonb_build_object(
                'definition', pg_get_triggerdef(g.oid), 'enabled', {_ENABLED.format("g.tgenabled")},
                {comment("pg_trigger", "g.oid")})
            FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE NOT g.tgisinternal AND {USER} AND {own("pg_class", "c.oid")}""",
        "rule": f"""
            SELECT c.oid::regclass::text || '.' || quote_ident(r.rulename), c.oid::regclass::text, jsonb_build_object(
                'definition', pg_get_ruledef(r.oid), 'enabled', {_ENABLED.format("r.ev_enabled")},
                {comment("pg_rewrite", "r.oid")})
            FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE r.rulename <> '_RETURN' AND {USER} AND {own("pg_class", "c.oid")}""",
        "policy": f"""
            SELECT c.oid::regclass::text || '.' || quote_ident(p.polname), c.oid::regclass::text, jsonb_build_object(
                'command', CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                    WHEN 'd' THEN 'DELETE' ELSE 'ALL' END, 'permissive', p.polpermissive,
                'roles', (SELECT jsonb_agg(role ORDER BY role COLLATE "C") FROM (
                          SELECT {grantee("r")} AS role FROM unnest(p.polroles) r) roles),
                'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid),
                {comment("pg_policy", "p.oid")})
            FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE {USER} AND {own("pg_class", "c.oid")}""",
        "statistics": f"""
            SELECT quote_ident(n.nspname) || '.' || quote_ident(s.stxname), s.stxrelid::regclass::text,
                jsonb_build_object('definition', pg_get_statisticsobjdef(s.oid),
                'target', nullif(s.stxstattarget, -1), {comment("pg_statistic_ext", "s.oid")}, {owner("s.stxowner")})
            FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
            WHERE {USER} AND {own("pg_statistic_ext", "s.oid")}""",
    }


def _columns(oid: str) -> str:
    return f"""(SELECT jsonb_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod) ||
        (CASE WHEN a.attcollation <> t.typcollation THEN ' COLLATE ' || a.attcollation::regcollation ELSE '' END)
        ORDER BY a.attnum) FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped)"""


def _not_null(expression: str, before: str, major: int) -> str:
    """What 18 keeps of NOT NULL in pg_constraint, of a column `a`; earlier majors have only the flag."""
    if major < 18:
        return before
    return (
        f"(SELECT coalesce({expression}, {before}) FROM pg_constraint k WHERE k.conrelid = a.attrelid "
        "AND k.contype = 'n' AND k.conkey[1] = a.attnum)"
    )
