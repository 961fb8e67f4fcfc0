"""SQL that lists what a database is made of: for each kind of object its name, the table it hangs on, its attributes.

Every query gives rows (name, parent, attributes as jsonb). Objects of extensions, of the system and of an unfinished
restore are left out. Written for PostgreSQL 14 to 18; what a newer server stores otherwise is brought back to one form
(18 keeps NOT NULL in pg_constraint, 17 a NULL statistics target where 16 has -1).
"""

# ruff: noqa: S608 - every part of these queries is a constant of this module

from __future__ import annotations

_USER = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'cutover_restore')"


def _own(catalog: str, oid: str) -> str:
    """The condition that an object is no extension's."""
    return (
        f"NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{catalog}'::regclass AND e.objid = {oid} "
        "AND e.deptype = 'e')"
    )


def _acl(kind: str, acl: str, owner: str) -> str:
    """Who but the owner may do what, as sorted text; and what the owner may no longer do.

    MAINTAIN came with 17, so an owner is not blamed for its lack.
    """
    return f"""(SELECT coalesce(jsonb_agg(line ORDER BY line COLLATE "C"), '[]') FROM (
        SELECT (CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee)::text END) || ' ' ||
               x.privilege_type || (CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) AS line
        FROM aclexplode(coalesce({acl}, acldefault('{kind}', {owner}))) x WHERE x.grantee <> {owner}
        UNION ALL SELECT 'owner without ' || d.privilege_type FROM aclexplode(acldefault('{kind}', {owner})) d
        WHERE d.grantee = {owner} AND d.privilege_type <> 'MAINTAIN' AND {acl} IS NOT NULL AND NOT EXISTS (
            SELECT FROM aclexplode({acl}) h WHERE h.grantee = {owner} AND h.privilege_type = d.privilege_type)
    ) lines)"""


def _describe(catalog: str, oid: str) -> str:
    return f"'comment', obj_description({oid}, '{catalog}')"


_OWNER = "pg_get_userbyid({})::text"
_OPTIONS = '(SELECT jsonb_agg(o ORDER BY o COLLATE "C") FROM unnest({}) o)'

QUERIES: dict[str, str] = {
    "schema": f"""
        SELECT quote_ident(n.nspname), '', jsonb_build_object({_describe("pg_namespace", "n.oid")},
            'owner', {_OWNER.format("n.nspowner")}, 'acl', {_acl("n", "n.nspacl", "n.nspowner")})
        FROM pg_namespace n WHERE {_USER} AND {_own("pg_namespace", "n.oid")}""",
    "extension": """
        SELECT quote_ident(e.extname), '', jsonb_build_object('version', e.extversion, 'schema', n.nspname)
        FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace""",
    "table": f"""
        SELECT c.oid::regclass::text, '', jsonb_build_object(
            'kind', CASE c.relkind WHEN 'p' THEN 'partitioned' WHEN 'f' THEN 'foreign' ELSE 'ordinary' END,
            'persistence', CASE c.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'permanent' END,
            'partition key', pg_get_partkeydef(c.oid),
            'partition bound', pg_get_expr(c.relpartbound, c.oid),
            'inherits', (SELECT jsonb_agg(i.inhparent::regclass::text ORDER BY i.inhseqno)
                         FROM pg_inherits i WHERE i.inhrelid = c.oid),
            'access method', (SELECT amname FROM pg_am WHERE oid = c.relam),
            'row security', c.relrowsecurity, 'row security forced', c.relforcerowsecurity,
            'replica identity', CASE c.relreplident WHEN 'd' THEN 'default' WHEN 'n' THEN 'nothing' WHEN 'f' THEN 'full'
                ELSE 'index ' || (SELECT i.indexrelid::regclass::text FROM pg_index i
                                  WHERE i.indrelid = c.oid AND i.indisreplident) END,
            'options', {_OPTIONS.format("c.reloptions")},
            'toast options', (SELECT {_OPTIONS.format("t.reloptions")} FROM pg_class t WHERE t.oid = c.reltoastrelid),
            'of type', CASE WHEN c.reloftype <> 0 THEN c.reloftype::regtype::text END,
            {_describe("pg_class", "c.oid")},
            'owner', {_OWNER.format("c.relowner")}, 'acl', {_acl("r", "c.relacl", "c.relowner")})
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND {_USER} AND {_own("pg_class", "c.oid")}""",
    "column": f"""
        SELECT c.oid::regclass::text || '.' || quote_ident(a.attname), c.oid::regclass::text, jsonb_build_object(
            'type', format_type(a.atttypid, a.atttypmod),
            'collation', CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END,
            'not null', a.attnotnull,
            'not null validated', NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = a.attrelid
                AND k.contype = 'n' AND k.conkey[1] = a.attnum AND NOT k.convalidated),
            'default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
            'generated', CASE WHEN a.attgenerated <> '' THEN (CASE a.attgenerated WHEN 's' THEN 'stored ' ELSE
                'virtual ' END) || pg_get_expr(d.adbin, d.adrelid) END,
            'identity', CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END,
            'storage', CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage::text END,
            'compression', nullif(a.attcompression::text, ''),
            'statistics', nullif(a.attstattarget, -1),
            'options', {_OPTIONS.format("a.attoptions")},
            'position', CASE WHEN c.relispartition OR NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
                THEN row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) END,
            'comment', col_description(c.oid, a.attnum),
            'acl', {_acl("c", "a.attacl", "c.relowner")})
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't'
          AND {_USER} AND {_own("pg_class", "c.oid")}""",
    "constraint": f"""
        SELECT c.oid::regclass::text || '.' || quote_ident(k.conname), c.oid::regclass::text, jsonb_build_object(
            'definition', regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), 'validated', k.convalidated,
            'triggers disabled', EXISTS (SELECT FROM pg_trigger g WHERE g.tgconstraint = k.oid AND g.tgenabled = 'D'),
            {_describe("pg_constraint", "k.oid")})
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conparentid = 0 AND c.relpersistence <> 't'
          AND {_USER} AND {_own("pg_class", "c.oid")}""",
    "index": f"""
        SELECT x.oid::regclass::text, c.oid::regclass::text, jsonb_build_object(
            'definition', pg_get_indexdef(x.oid), 'valid', i.indisvalid AND i.indisready AND i.indislive,
            'unique', i.indisunique, 'clustered', i.indisclustered,
            'attached to', (SELECT h.inhparent::regclass::text FROM pg_inherits h WHERE h.inhrelid = x.oid),
            {_describe("pg_class", "x.oid")})
        FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_USER} AND c.relpersistence <> 't' AND {_own("pg_class", "c.oid")}""",
    "sequence": f"""
        SELECT c.oid::regclass::text, '', jsonb_build_object('type', format_type(s.seqtypid, NULL),
            'start', s.seqstart, 'minimum', s.seqmin, 'maximum', s.seqmax, 'increment', s.seqincrement,
            'cache', s.seqcache, 'cycle', s.seqcycle,
            'owned by', (SELECT d.refobjid::regclass::text || '.' || quote_ident(a.attname) FROM pg_depend d
                JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
                  AND d.deptype IN ('a', 'i')),
            'readable', has_sequence_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE'),
            'persistence', CASE c.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'permanent' END,
            {_describe("pg_class", "c.oid")},
            'owner', {_OWNER.format("c.relowner")}, 'acl', {_acl("s", "c.relacl", "c.relowner")})
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relpersistence <> 't' AND {_USER} AND {_own("pg_class", "c.oid")}""",
    "view": f"""
        SELECT c.oid::regclass::text, '', jsonb_build_object('definition', pg_get_viewdef(c.oid),
            'options', {_OPTIONS.format("c.reloptions")},
            'columns', (SELECT jsonb_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
                        ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0),
            {_describe("pg_class", "c.oid")},
            'owner', {_OWNER.format("c.relowner")}, 'acl', {_acl("r", "c.relacl", "c.relowner")})
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'v' AND {_USER} AND {_own("pg_class", "c.oid")}""",
    "materialized view": f"""
        SELECT c.oid::regclass::text, '', jsonb_build_object('definition', pg_get_viewdef(c.oid),
            'populated', c.relispopulated, 'options', {_OPTIONS.format("c.reloptions")},
            {_describe("pg_class", "c.oid")},
            'owner', {_OWNER.format("c.relowner")}, 'acl', {_acl("r", "c.relacl", "c.relowner")})
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'm' AND {_USER} AND {_own("pg_class", "c.oid")}""",
    "function": f"""
        SELECT p.oid::regprocedure::text, '', jsonb_build_object('definition', pg_get_functiondef(p.oid),
            {_describe("pg_proc", "p.oid")},
            'owner', {_OWNER.format("p.proowner")}, 'acl', {_acl("f", "p.proacl", "p.proowner")})
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE p.prokind <> 'a' AND {_USER} AND {_own("pg_proc", "p.oid")}""",
    "aggregate": f"""
        SELECT p.oid::regprocedure::text, '', jsonb_build_object('kind', a.aggkind,
            'transition', a.aggtransfn::text, 'state', format_type(a.aggtranstype, NULL), 'final', a.aggfinalfn::text,
            'combine', a.aggcombinefn::text, 'initial', a.agginitval, 'sort operator', a.aggsortop::regoper::text,
            'parallel', p.proparallel, {_describe("pg_proc", "p.oid")},
            'owner', {_OWNER.format("p.proowner")}, 'acl', {_acl("f", "p.proacl", "p.proowner")})
        FROM pg_proc p JOIN pg_aggregate a ON a.aggfnoid = p.oid JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE {_USER} AND {_own("pg_proc", "p.oid")}""",
    "trigger": f"""
        SELECT c.oid::regclass::text || '.' || quote_ident(g.tgname), c.oid::regclass::text, jsonb_build_object(
            'definition', pg_get_triggerdef(g.oid), 'enabled', CASE g.tgenabled WHEN 'O' THEN 'enabled'
            WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' ELSE 'always' END, {_describe("pg_trigger", "g.oid")})
        FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE NOT g.tgisinternal AND {_USER} AND {_own("pg_class", "c.oid")}""",
    "rule": f"""
        SELECT c.oid::regclass::text || '.' || quote_ident(r.rulename), c.oid::regclass::text, jsonb_build_object(
            'definition', pg_get_ruledef(r.oid), 'enabled', CASE r.ev_enabled WHEN 'O' THEN 'enabled'
            WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' ELSE 'always' END)
        FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE r.rulename <> '_RETURN' AND {_USER} AND {_own("pg_class", "c.oid")}""",
    "policy": f"""
        SELECT c.oid::regclass::text || '.' || quote_ident(p.polname), c.oid::regclass::text, jsonb_build_object(
            'command', CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                WHEN 'd' THEN 'DELETE' ELSE 'ALL' END, 'permissive', p.polpermissive,
            'roles', (SELECT jsonb_agg(role ORDER BY role COLLATE "C") FROM (SELECT CASE WHEN r = 0 THEN 'PUBLIC'
                      ELSE quote_ident(pg_get_userbyid(r)) END AS role FROM unnest(p.polroles) r) roles),
            'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid))
        FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_USER} AND {_own("pg_class", "c.oid")}""",
    "type": f"""
        SELECT t.oid::regtype::text, '', jsonb_build_object(
            'kind', CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range'
                WHEN 'c' THEN 'composite' ELSE 'base' END,
            'labels', (SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
            'base', CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
            'not null', t.typnotnull, 'default', t.typdefault,
            'collation', CASE WHEN t.typtype = 'd' AND t.typcollation <> 0 THEN t.typcollation::regcollation::text END,
            'constraints', (SELECT jsonb_object_agg(k.conname, pg_get_constraintdef(k.oid)) FROM pg_constraint k
                            WHERE k.contypid = t.oid AND k.contype <> 'n'),
            'range', (SELECT jsonb_build_object('subtype', format_type(r.rngsubtype, NULL), 'canonical',
                      r.rngcanonical::text, 'difference', r.rngsubdiff::text, 'operator class', (SELECT
                      o.opcname FROM pg_opclass o WHERE o.oid = r.rngsubopc)) FROM pg_range r WHERE r.rngtypid = t.oid),
            'attributes', (SELECT jsonb_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
                           ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = t.typrelid AND t.typtype = 'c'
                           AND a.attnum > 0 AND NOT a.attisdropped),
            {_describe("pg_type", "t.oid")},
            'owner', {_OWNER.format("t.typowner")}, 'acl', {_acl("T", "t.typacl", "t.typowner")})
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
        WHERE (t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND c.relkind = 'c')
               OR (t.typtype = 'b' AND t.typelem = 0)) AND {_USER} AND {_own("pg_type", "t.oid")}""",
    "statistics": f"""
        SELECT quote_ident(n.nspname) || '.' || quote_ident(s.stxname), s.stxrelid::regclass::text, jsonb_build_object(
            'definition', pg_get_statisticsobjdef(s.oid), 'target', nullif(s.stxstattarget, -1),
            {_describe("pg_statistic_ext", "s.oid")})
        FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
        WHERE {_USER} AND {_own("pg_statistic_ext", "s.oid")}""",
    "event trigger": f"""
        SELECT quote_ident(g.evtname), '', jsonb_build_object('event', g.evtevent, 'tags', to_jsonb(g.evttags),
            'function', g.evtfoid::regprocedure::text, 'enabled', g.evtenabled)
        FROM pg_event_trigger g WHERE {_own("pg_event_trigger", "g.oid")}""",
    "publication": """
        SELECT quote_ident(p.pubname), '', jsonb_build_object('all tables', p.puballtables, 'insert', p.pubinsert,
            'update', p.pubupdate, 'delete', p.pubdelete, 'truncate', p.pubtruncate, 'via root', p.pubviaroot,
            'tables', CASE WHEN NOT p.puballtables THEN (SELECT jsonb_agg(to_jsonb(t) - 'pubname'
                ORDER BY t.schemaname, t.tablename) FROM pg_publication_tables t WHERE t.pubname = p.pubname) END)
        FROM pg_publication p""",
    "cast": f"""
        SELECT format_type(k.castsource, NULL) || ' AS ' || format_type(k.casttarget, NULL), '', jsonb_build_object(
            'function', k.castfunc::regprocedure::text, 'context', k.castcontext, 'method', k.castmethod)
        FROM pg_cast k WHERE k.oid >= 16384 AND {_own("pg_cast", "k.oid")}""",
    "operator": f"""
        SELECT o.oid::regoperator::text, '', jsonb_build_object('function', o.oprcode::text,
            'commutator', o.oprcom::regoperator::text, 'negator', o.oprnegate::regoperator::text,
            'merges', o.oprcanmerge, 'hashes', o.oprcanhash, 'owner', {_OWNER.format("o.oprowner")})
        FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
        WHERE {_USER} AND {_own("pg_operator", "o.oid")}
        """,
    "collation": f"""
        SELECT quote_ident(n.nspname) || '.' || quote_ident(k.collname), '', jsonb_build_object(
            'provider', k.collprovider, 'deterministic', k.collisdeterministic, 'locale', coalesce(
            to_jsonb(k) ->> 'colllocale', to_jsonb(k) ->> 'colliculocale', k.collcollate),
            'owner', {_OWNER.format("k.collowner")})
        FROM pg_collation k JOIN pg_namespace n ON n.oid = k.collnamespace
        WHERE {_USER} AND {_own("pg_collation", "k.oid")}""",
    "text search configuration": f"""
        SELECT quote_ident(n.nspname) || '.' || quote_ident(k.cfgname), '', jsonb_build_object(
            'parser', (SELECT prsname FROM pg_ts_parser WHERE oid = k.cfgparser),
            'dictionaries', (SELECT jsonb_agg(m.maptokentype || ' ' || m.mapdict::regdictionary::text
                ORDER BY m.maptokentype, m.mapseqno) FROM pg_ts_config_map m WHERE m.mapcfg = k.oid),
            'owner', {_OWNER.format("k.cfgowner")})
        FROM pg_ts_config k JOIN pg_namespace n ON n.oid = k.cfgnamespace
        WHERE {_USER} AND {_own("pg_ts_config", "k.oid")}""",
    "text search dictionary": f"""
        SELECT quote_ident(n.nspname) || '.' || quote_ident(k.dictname), '', jsonb_build_object(
            'template', (SELECT tmplname FROM pg_ts_template WHERE oid = k.dicttemplate), 'options', k.dictinitoption,
            'owner', {_OWNER.format("k.dictowner")})
        FROM pg_ts_dict k JOIN pg_namespace n ON n.oid = k.dictnamespace
        WHERE {_USER} AND {_own("pg_ts_dict", "k.oid")}""",
    "foreign server": f"""
        SELECT quote_ident(s.srvname), '', jsonb_build_object('wrapper', w.fdwname, 'type', s.srvtype,
            'version', s.srvversion, 'options', {_OPTIONS.format("s.srvoptions")},
            'owner', {_OWNER.format("s.srvowner")}, 'acl', {_acl("S", "s.srvacl", "s.srvowner")})
        FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
        WHERE {_own("pg_foreign_server", "s.oid")}""",
    "language": f"""
        SELECT quote_ident(l.lanname), '', jsonb_build_object('trusted', l.lanpltrusted,
            'owner', {_OWNER.format("l.lanowner")}, 'acl', {_acl("l", "l.lanacl", "l.lanowner")})
        FROM pg_language l WHERE l.lanispl AND {_own("pg_language", "l.oid")}""",
    "default privileges": """
        SELECT pg_get_userbyid(d.defaclrole) || ' ' || coalesce(n.nspname, '(any schema)') || ' ' ||
            d.defaclobjtype::text, '', jsonb_build_object('grants', (
                SELECT jsonb_agg(line ORDER BY line COLLATE "C") FROM (
                    SELECT (CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee)::text END) || ' ' ||
                        x.privilege_type || (CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) AS line
                    FROM aclexplode(d.defaclacl) x WHERE x.privilege_type <> 'MAINTAIN') lines))
        FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace""",
    "large object": f"""
        SELECT 'large object ' || m.oid::text, '', jsonb_build_object({_describe("pg_largeobject", "m.oid")},
            'owner', {_OWNER.format("m.lomowner")}, 'acl', {_acl("L", "m.lomacl", "m.lomowner")})
        FROM pg_largeobject_metadata m""",
    "database setting": """
        SELECT coalesce(quote_ident(r.rolname) || ' ', '') || split_part(s.setting, '=', 1), '', jsonb_build_object(
            'value', substr(s.setting, strpos(s.setting, '=') + 1))
        FROM pg_db_role_setting d CROSS JOIN unnest(d.setconfig) AS s(setting)
        LEFT JOIN pg_roles r ON r.oid = d.setrole
        WHERE d.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND s.setting NOT LIKE 'default_transaction_read_only=%'""",
    "database": """
        SELECT 'database', '', jsonb_build_object('encoding', pg_encoding_to_char(d.encoding),
            'collate', d.datcollate, 'ctype', d.datctype, 'provider', d.datlocprovider,
            'locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'))
        FROM pg_database d WHERE d.datname = current_database()""",
}
"""SQL by kind of object, in the order in which they depend on each other."""
