"""SQL that lists functions, types, operators, casts, collations, text search, languages: (name, parent, attributes)."""

# ruff: noqa: S608 - every part of these queries is a constant of this package

from __future__ import annotations

from cutover.postgres.catalog.query_parts import (
    FIRST_NORMAL_OID,
    USER,
    acl,
    columns_beside,
    comment,
    own,
    owner,
)


def code_queries(major: int) -> dict[str, str]:
    """Queries by kind of object, for a server of this major."""
    return {
        "function": f"""
            SELECT p.oid::regprocedure::text, '', jsonb_build_object('definition', pg_get_functiondef(p.oid),
                'kind', CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, {comment("pg_proc", "p.oid")},
                'parsed', p.prosqlbody IS NOT NULL,
                {owner("p.proowner")}, 'acl', {acl("f", "p.proacl", "p.proowner")})
            FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE p.prokind <> 'a' AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_proc'::regclass
                AND i.objid = p.oid AND i.deptype = 'i') AND {USER} AND {own("pg_proc", "p.oid")}""",
        "aggregate": f"""
            SELECT p.oid::regprocedure::text, '', jsonb_strip_nulls(jsonb_build_object(
                'arguments', pg_get_function_arguments(p.oid), 'kind', CASE a.aggkind WHEN 'n' THEN 'plain'
                WHEN 'o' THEN 'ordered set' ELSE 'hypothetical' END,
                'SFUNC', {_proc("a.aggtransfn")}, 'STYPE', format_type(a.aggtranstype, NULL),
                'SSPACE', nullif(a.aggtransspace, 0), 'FINALFUNC', {_proc("a.aggfinalfn")},
                'FINALFUNC_EXTRA', nullif(a.aggfinalextra, false), 'FINALFUNC_MODIFY', {_modify("a.aggfinalmodify")},
                'COMBINEFUNC', {_proc("a.aggcombinefn")}, 'SERIALFUNC', {_proc("a.aggserialfn")},
                'DESERIALFUNC', {_proc("a.aggdeserialfn")}, 'INITCOND', a.agginitval,
                'MSFUNC', {_proc("a.aggmtransfn")}, 'MINVFUNC', {_proc("a.aggminvtransfn")},
                'MSTYPE', CASE WHEN a.aggmtranstype <> 0 THEN format_type(a.aggmtranstype, NULL) END,
                'MSSPACE', nullif(a.aggmtransspace, 0), 'MFINALFUNC', {_proc("a.aggmfinalfn")},
                'MFINALFUNC_EXTRA', nullif(a.aggmfinalextra, false),
                'MFINALFUNC_MODIFY', CASE WHEN a.aggmtransfn <> 0 THEN {_modify("a.aggmfinalmodify")} END,
                'MINITCOND', a.aggminitval, 'SORTOP', CASE WHEN a.aggsortop <> 0 THEN
                    (SELECT 'OPERATOR(' || quote_ident(n2.nspname) || '.' || o.oprname || ')' FROM pg_operator o
                     JOIN pg_namespace n2 ON n2.oid = o.oprnamespace WHERE o.oid = a.aggsortop) END,
                'PARALLEL', CASE p.proparallel WHEN 's' THEN 'SAFE' WHEN 'r' THEN 'RESTRICTED' END)) ||
                jsonb_build_object({comment("pg_proc", "p.oid")},
                {owner("p.proowner")}, 'acl', {acl("f", "p.proacl", "p.proowner")})
            FROM pg_proc p JOIN pg_aggregate a ON a.aggfnoid = p.oid JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE {USER} AND {own("pg_proc", "p.oid")}""",
        "type": f"""
            SELECT t.oid::regtype::text, '', jsonb_build_object(
                'kind', CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range'
                    WHEN 'c' THEN 'composite' WHEN 'p' THEN 'shell' ELSE 'base' END,
                'labels', (SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder)
                           FROM pg_enum e WHERE e.enumtypid = t.oid),
                'base', CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
                'not null', t.typnotnull,
                'default', coalesce(pg_get_expr(t.typdefaultbin, 0), CASE WHEN t.typtype = 'b' THEN t.typdefault END),
                'collation', CASE WHEN t.typtype = 'd' AND t.typcollation <> (SELECT b.typcollation FROM pg_type b
                    WHERE b.oid = t.typbasetype) THEN t.typcollation::regcollation::text END,
                'constraints', (SELECT jsonb_object_agg(quote_ident(k.conname), pg_get_constraintdef(k.oid))
                                FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype <> 'n'),
                'constraint comments', (SELECT jsonb_object_agg(quote_ident(k.conname), y.description)
                    FROM pg_constraint k JOIN pg_description y ON y.objoid = k.oid
                    AND y.classoid = 'pg_constraint'::regclass WHERE k.contypid = t.oid AND k.contype <> 'n'),
                'range', (SELECT jsonb_build_object('subtype', format_type(r.rngsubtype, NULL),
                    'subtype_opclass', (SELECT quote_ident(n2.nspname) || '.' || quote_ident(o.opcname) FROM pg_opclass
                        o JOIN pg_namespace n2 ON n2.oid = o.opcnamespace WHERE o.oid = r.rngsubopc),
                    'collation', CASE WHEN r.rngcollation <> 0 THEN r.rngcollation::regcollation::text END,
                    'canonical', {_proc("r.rngcanonical")}, 'subtype_diff', {_proc("r.rngsubdiff")},
                    'multirange_type_name', format_type(r.rngmultitypid, NULL))
                    FROM pg_range r WHERE r.rngtypid = t.oid),
                'attributes', CASE WHEN t.typtype = 'c' THEN (
                    SELECT jsonb_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod) ||
                    (CASE WHEN a.attcollation <> b.typcollation THEN ' COLLATE ' || a.attcollation::regcollation
                     ELSE '' END) ORDER BY a.attnum) FROM pg_attribute a JOIN pg_type b ON b.oid = a.atttypid
                    WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) END,
                'on attributes', CASE WHEN t.typtype = 'c' THEN {columns_beside("t.typrelid", "t.typowner")} END,
                'representation', CASE WHEN t.typtype = 'b' THEN jsonb_build_object('INPUT', {_proc("t.typinput")},
                    'OUTPUT', {_proc("t.typoutput")}, 'RECEIVE', {_proc("t.typreceive")}, 'SEND', {_proc("t.typsend")},
                    'TYPMOD_IN', {_proc("t.typmodin")}, 'TYPMOD_OUT', {_proc("t.typmodout")},
                    'ANALYZE', {_proc("t.typanalyze")}, 'INTERNALLENGTH', t.typlen, 'PASSEDBYVALUE', t.typbyval,
                    'ALIGNMENT', t.typalign, 'STORAGE', t.typstorage, 'CATEGORY', t.typcategory,
                    'PREFERRED', t.typispreferred, 'DELIMITER', t.typdelim, 'COLLATABLE', t.typcollation <> 0,
                    'ELEMENT', CASE WHEN t.typelem <> 0 THEN format_type(t.typelem, NULL) END) END,
                {comment("pg_type", "t.oid")},
                {owner("t.typowner")}, 'acl', {acl("T", "t.typacl", "t.typowner")})
            FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
            WHERE (t.typtype IN ('e', 'd', 'r', 'p') OR (t.typtype = 'c' AND c.relkind = 'c')
                   OR (t.typtype = 'b' AND NOT EXISTS (SELECT FROM pg_type l WHERE l.typarray = t.oid)))
              AND {USER} AND {own("pg_type", "t.oid")}""",
        "operator": f"""
            SELECT o.oid::regoperator::text, '', jsonb_build_object('name', quote_ident(n.nspname) || '.' || o.oprname,
                'FUNCTION', {_proc("o.oprcode")},
                'LEFTARG', CASE WHEN o.oprleft <> 0 THEN format_type(o.oprleft, NULL) END,
                'RIGHTARG', CASE WHEN o.oprright <> 0 THEN format_type(o.oprright, NULL) END,
                'COMMUTATOR', {_oper("o.oprcom")}, 'NEGATOR', {_oper("o.oprnegate")},
                'RESTRICT', {_proc("o.oprrest")}, 'JOIN', {_proc("o.oprjoin")},
                'MERGES', o.oprcanmerge, 'HASHES', o.oprcanhash, {comment("pg_operator", "o.oid")},
                {owner("o.oprowner")})
            FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
            WHERE o.oprcode <> 0 AND {USER} AND {own("pg_operator", "o.oid")}""",
        "operator family": f"""
            SELECT quote_ident(n.nspname) || '.' || quote_ident(f.opfname) || ' USING ' || quote_ident(m.amname), '',
                jsonb_build_object('operators', (SELECT jsonb_agg(line ORDER BY line COLLATE "C") FROM (
                    SELECT o.amopstrategy || ' ' || o.amopopr::regoperator || (CASE WHEN o.amopsortfamily <> 0 THEN
                        ' FOR ORDER BY ' || (SELECT s.opfname FROM pg_opfamily s WHERE s.oid = o.amopsortfamily)
                        ELSE '' END) AS line FROM pg_amop o WHERE o.amopfamily = f.oid) lines),
                'functions', (SELECT jsonb_agg(line ORDER BY line COLLATE "C") FROM (
                    SELECT p.amprocnum || ' (' || format_type(p.amproclefttype, NULL) || ', ' ||
                        format_type(p.amprocrighttype, NULL) || ') ' || p.amproc::regprocedure AS line
                    FROM pg_amproc p WHERE p.amprocfamily = f.oid) lines),
                {comment("pg_opfamily", "f.oid")}, {owner("f.opfowner")})
            FROM pg_opfamily f JOIN pg_am m ON m.oid = f.opfmethod JOIN pg_namespace n ON n.oid = f.opfnamespace
            WHERE {USER} AND {own("pg_opfamily", "f.oid")}""",
        "operator class": f"""
            SELECT quote_ident(n.nspname) || '.' || quote_ident(k.opcname) || ' USING ' || quote_ident(m.amname), '',
                jsonb_build_object('type', format_type(k.opcintype, NULL), 'default', k.opcdefault,
                'storage', CASE WHEN k.opckeytype <> 0 THEN format_type(k.opckeytype, NULL) END,
                'family', (SELECT quote_ident(s.nspname) || '.' || quote_ident(f.opfname) FROM pg_opfamily f
                    JOIN pg_namespace s ON s.oid = f.opfnamespace WHERE f.oid = k.opcfamily),
                {comment("pg_opclass", "k.oid")}, {owner("k.opcowner")})
            FROM pg_opclass k JOIN pg_am m ON m.oid = k.opcmethod JOIN pg_namespace n ON n.oid = k.opcnamespace
            WHERE {USER} AND {own("pg_opclass", "k.oid")}""",
        "cast": f"""
            SELECT format_type(k.castsource, NULL) || ' AS ' || format_type(k.casttarget, NULL), '',
                jsonb_build_object('function', CASE WHEN k.castfunc <> 0 THEN k.castfunc::regprocedure::text END,
                'context', CASE k.castcontext WHEN 'e' THEN 'explicit' WHEN 'a' THEN 'assignment' ELSE 'implicit' END,
                'method', CASE k.castmethod WHEN 'f' THEN 'function' WHEN 'i' THEN 'inout' ELSE 'binary' END,
                {comment("pg_cast", "k.oid")})
            FROM pg_cast k WHERE k.oid >= {FIRST_NORMAL_OID} AND {own("pg_cast", "k.oid")}""",
        "conversion": f"""
            SELECT quote_ident(n.nspname) || '.' || quote_ident(k.conname), '', jsonb_build_object(
                'from', pg_encoding_to_char(k.conforencoding), 'to', pg_encoding_to_char(k.contoencoding),
                'function', {_proc("k.conproc")}, 'default', k.condefault,
                {comment("pg_conversion", "k.oid")}, {owner("k.conowner")})
            FROM pg_conversion k JOIN pg_namespace n ON n.oid = k.connamespace
            WHERE {USER} AND {own("pg_conversion", "k.oid")}""",
        "collation": f"""
            SELECT quote_ident(n.nspname) || '.' || quote_ident(k.collname), '', jsonb_build_object(
                'provider', CASE k.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END,
                'deterministic', k.collisdeterministic, 'locale', coalesce({_collation_locale(major)}, k.collcollate),
                'ctype', k.collctype, 'rules', {"k.collicurules" if major >= 16 else "NULL::text"},
                {comment("pg_collation", "k.oid")}, {owner("k.collowner")})
            FROM pg_collation k JOIN pg_namespace n ON n.oid = k.collnamespace
            WHERE {USER} AND {own("pg_collation", "k.oid")}""",
        "text search parser": f"""
            SELECT quote_ident(n.nspname) || '.' || quote_ident(k.prsname), '', jsonb_build_object(
                'START', {_proc("k.prsstart")}, 'GETTOKEN', {_proc("k.prstoken")}, 'END', {_proc("k.prsend")},
                'HEADLINE', {_proc("k.prsheadline")}, 'LEXTYPES', {_proc("k.prslextype")},
                {comment("pg_ts_parser", "k.oid")})
            FROM pg_ts_parser k JOIN pg_namespace n ON n.oid = k.prsnamespace
            WHERE {USER} AND {own("pg_ts_parser", "k.oid")}""",
        "text search template": f"""
            SELECT quote_ident(n.nspname) || '.' || quote_ident(k.tmplname), '', jsonb_build_object(
                'INIT', {_proc("k.tmplinit")}, 'LEXIZE', {_proc("k.tmpllexize")}, {comment("pg_ts_template", "k.oid")})
            FROM pg_ts_template k JOIN pg_namespace n ON n.oid = k.tmplnamespace
            WHERE {USER} AND {own("pg_ts_template", "k.oid")}""",
        "text search dictionary": f"""
            SELECT quote_ident(n.nspname) || '.' || quote_ident(k.dictname), '', jsonb_build_object(
                'template', (SELECT quote_ident(s.nspname) || '.' || quote_ident(t.tmplname) FROM pg_ts_template t
                    JOIN pg_namespace s ON s.oid = t.tmplnamespace WHERE t.oid = k.dicttemplate),
                'options', {_dictionary_options("k.dictinitoption")}, {comment("pg_ts_dict", "k.oid")},
                {owner("k.dictowner")})
            FROM pg_ts_dict k JOIN pg_namespace n ON n.oid = k.dictnamespace
            WHERE {USER} AND {own("pg_ts_dict", "k.oid")}""",
        "text search configuration": f"""
            SELECT quote_ident(n.nspname) || '.' || quote_ident(k.cfgname), '', jsonb_build_object(
                'parser', (SELECT quote_ident(s.nspname) || '.' || quote_ident(p.prsname) FROM pg_ts_parser p
                    JOIN pg_namespace s ON s.oid = p.prsnamespace WHERE p.oid = k.cfgparser),
                'mappings', (SELECT jsonb_object_agg(token, dictionaries) FROM (
                    SELECT y.alias AS token, string_agg(m.mapdict::regdictionary::text, ', ' ORDER BY m.mapseqno)
                        AS dictionaries FROM pg_ts_config_map m JOIN ts_token_type(k.cfgparser) y
                        ON y.tokid = m.maptokentype WHERE m.mapcfg = k.oid GROUP BY y.alias) mapped),
                {comment("pg_ts_config", "k.oid")}, {owner("k.cfgowner")})
            FROM pg_ts_config k JOIN pg_namespace n ON n.oid = k.cfgnamespace
            WHERE {USER} AND {own("pg_ts_config", "k.oid")}""",
        "language": f"""
            SELECT quote_ident(l.lanname), '', jsonb_build_object('trusted', l.lanpltrusted,
                'HANDLER', {_proc("l.lanplcallfoid")}, 'INLINE', {_proc("l.laninline")},
                'VALIDATOR', {_proc("l.lanvalidator")}, {comment("pg_language", "l.oid")},
                {owner("l.lanowner")}, 'acl', {acl("l", "l.lanacl", "l.lanowner")})
            FROM pg_language l WHERE l.lanispl AND {own("pg_language", "l.oid")}""",
        "transform": f"""
            SELECT 'FOR ' || format_type(r.trftype, NULL) || ' LANGUAGE ' || (SELECT quote_ident(l.lanname)
                FROM pg_language l WHERE l.oid = r.trflang), '', jsonb_build_object(
                'from', CASE WHEN r.trffromsql <> 0 THEN r.trffromsql::regprocedure::text END,
                'to', CASE WHEN r.trftosql <> 0 THEN r.trftosql::regprocedure::text END,
                {comment("pg_transform", "r.oid")})
            FROM pg_transform r WHERE {own("pg_transform", "r.oid")}""",
        "access method": f"""
            SELECT quote_ident(m.amname), '', jsonb_build_object('type', CASE m.amtype WHEN 'i' THEN 'INDEX'
                ELSE 'TABLE' END, 'handler', m.amhandler::regproc::text, {comment("pg_am", "m.oid")})
            FROM pg_am m WHERE m.oid >= {FIRST_NORMAL_OID} AND {own("pg_am", "m.oid")}""",
    }


def _proc(column: str) -> str:
    """A function's qualified name; null where there is none."""
    return f"(CASE WHEN {column} <> 0 THEN {column}::regproc::text END)"


def _oper(column: str) -> str:
    """An operator as CREATE OPERATOR takes it; null where there is none."""
    return (
        "(SELECT 'OPERATOR(' || quote_ident(n2.nspname) || '.' || o2.oprname || ')' FROM pg_operator o2 "
        f"JOIN pg_namespace n2 ON n2.oid = o2.oprnamespace WHERE o2.oid = {column})"
    )


def _modify(column: str) -> str:
    return f"CASE {column} WHEN 's' THEN 'SHAREABLE' WHEN 'w' THEN 'READ_WRITE' ELSE NULL END"


def _dictionary_options(column: str) -> str:
    """The options without quotes that are not needed: they are kept as quote_all_identifiers made them."""
    return f"regexp_replace({column}, '\"([a-z_][a-z0-9_]*)\" =', '\\1 =', 'g')"


def _collation_locale(major: int) -> str:
    return "k.colllocale" if major >= 17 else "k.colliculocale" if major >= 15 else "NULL::text"
