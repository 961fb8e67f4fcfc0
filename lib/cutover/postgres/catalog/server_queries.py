"""SQL that lists roles, settings, grants by default, publications, foreign servers, large objects and the like."""

# ruff: noqa: S608 - every part of these queries is a constant of this package

from __future__ import annotations

from cutover.postgres.catalog.query_parts import (
    acl,
    comment,
    grantee,
    masked,
    own,
    owner,
)

LISTED_LARGE_OBJECTS = 10_000
"""So many large objects are objects of the catalog each; more are taken together by ranges of 10,000 numbers."""

_HERE = "(SELECT oid FROM pg_database WHERE datname = current_database())"

_INVOLVED = f"""
    WITH RECURSIVE named(oid) AS (
        SELECT s.refobjid FROM pg_shdepend s WHERE s.refclassid = 'pg_authid'::regclass AND (s.dbid = {_HERE}
            OR (s.dbid = 0 AND s.classid = 'pg_database'::regclass AND s.objid = {_HERE}))
        UNION SELECT d.setrole FROM pg_db_role_setting d WHERE d.setdatabase = {_HERE} AND d.setrole <> 0
    ), involved(oid) AS (
        SELECT oid FROM named
        UNION SELECT CASE WHEN m.member = i.oid THEN m.roleid ELSE m.member END
            FROM involved i JOIN pg_auth_members m ON i.oid IN (m.member, m.roleid)
            JOIN pg_roles r ON r.oid = i.oid AND r.rolname !~ '^pg_'
    )"""
"""Roles that own something here, are granted something here or have settings here; their members, and what they are
members of."""


def server_queries(major: int) -> dict[str, str]:
    """Queries by kind of object, for a server of this major."""
    # In a schema, privileges are added to the usual ones; elsewhere they take their place.
    before = (
        "CASE WHEN d.defaclnamespace = 0 THEN acldefault((CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype "
        'END)::"char", d.defaclrole) END'
    )
    return {
        "event trigger": f"""
            SELECT quote_ident(g.evtname), '', jsonb_build_object('event', g.evtevent, 'tags', to_jsonb(g.evttags),
                'function', g.evtfoid::regproc::text, 'enabled', CASE g.evtenabled WHEN 'O' THEN 'enabled'
                WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' ELSE 'always' END,
                {comment("pg_event_trigger", "g.oid")}, {owner("g.evtowner")})
            FROM pg_event_trigger g WHERE {own("pg_event_trigger", "g.oid")}""",
        "publication": f"""
            SELECT quote_ident(p.pubname), '', jsonb_build_object('all tables', p.puballtables,
                'publish', array_to_string(ARRAY[CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN
                    'update' END, CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END],
                    ', '), 'via root', p.pubviaroot, {_generated_columns(major)}
                'tables', (SELECT jsonb_object_agg(r.prrelid::regclass::text, {_published(major)})
                           FROM pg_publication_rel r WHERE r.prpubid = p.oid),
                'schemas', {_published_schemas(major)}, {comment("pg_publication", "p.oid")}, {owner("p.pubowner")})
            FROM pg_publication p WHERE p.pubname NOT LIKE 'cutover\\_%' AND {own("pg_publication", "p.oid")}""",
        "subscription": f"""
            SELECT quote_ident(s.subname), '', jsonb_build_object('enabled', s.subenabled,
                'publications', to_jsonb(s.subpublications), 'slot', s.subslotname, 'binary', s.subbinary,
                'streaming', {_streaming(major)}, 'synchronous commit', s.subsynccommit,
                {_since_15(major)}
                {comment("pg_subscription", "s.oid")}, {owner("s.subowner")})
            FROM pg_subscription s WHERE s.subdbid = {_HERE} AND s.subname NOT LIKE 'cutover\\_%'""",
        "foreign data wrapper": f"""
            SELECT quote_ident(w.fdwname), '', jsonb_build_object(
                'HANDLER', CASE WHEN w.fdwhandler <> 0 THEN w.fdwhandler::regproc::text END,
                'VALIDATOR', CASE WHEN w.fdwvalidator <> 0 THEN w.fdwvalidator::regproc::text END,
                'options', {masked("w.fdwoptions")}, {comment("pg_foreign_data_wrapper", "w.oid")},
                {owner("w.fdwowner")}, 'acl', {acl("F", "w.fdwacl", "w.fdwowner")})
            FROM pg_foreign_data_wrapper w WHERE {own("pg_foreign_data_wrapper", "w.oid")}""",
        "foreign server": f"""
            SELECT quote_ident(s.srvname), '', jsonb_build_object('wrapper', quote_ident(w.fdwname), 'type', s.srvtype,
                'version', s.srvversion, 'options', {masked("s.srvoptions")},
                {comment("pg_foreign_server", "s.oid")},
                {owner("s.srvowner")}, 'acl', {acl("S", "s.srvacl", "s.srvowner")})
            FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
            WHERE {own("pg_foreign_server", "s.oid")}""",
        "user mapping": f"""
            SELECT {grantee("m.umuser")} || ' SERVER ' || quote_ident(m.srvname), '', jsonb_build_object(
                'options', {masked("m.umoptions")}, 'unreadable', CASE WHEN m.umoptions IS NULL AND NOT (
                    SELECT r.rolsuper OR (m.umuser = 0 AND pg_has_role(s.srvowner, 'USAGE')) OR (m.umuser = r.oid
                        AND (pg_has_role(s.srvowner, 'USAGE') OR has_server_privilege(s.oid, 'USAGE')))
                    FROM pg_roles r WHERE r.rolname = current_user) THEN '["options"]'::jsonb ELSE '[]'::jsonb END)
            FROM pg_user_mappings m JOIN pg_foreign_server s ON s.oid = m.srvid
            WHERE {own("pg_foreign_server", "s.oid")}""",
        "default privileges": f"""
            SELECT 'of ' || quote_ident(pg_get_userbyid(d.defaclrole)) || coalesce(' in schema ' || quote_ident(
                n.nspname), '') || ' on ' || CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences'
                WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE 'large objects' END, '',
                jsonb_build_object('role', quote_ident(pg_get_userbyid(d.defaclrole)), 'schema', quote_ident(n.nspname),
                'grants', (SELECT jsonb_agg(line ORDER BY line COLLATE "C") FROM (
                    SELECT {grantee("x.grantee")} || ' ' || x.privilege_type ||
                        (CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) AS line
                    FROM (SELECT grantee, privilege_type, is_grantable FROM aclexplode(d.defaclacl)
                          EXCEPT SELECT grantee, privilege_type, is_grantable FROM aclexplode({before})) x
                    UNION ALL SELECT {grantee("x.grantee")} || ' without ' || x.privilege_type
                    FROM (SELECT grantee, privilege_type FROM aclexplode({before})
                          EXCEPT SELECT grantee, privilege_type FROM aclexplode(d.defaclacl)) x) lines))
            FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace""",
        "large object": f"""
            WITH listed AS MATERIALIZED (
                SELECT m.oid, count(*) OVER () > {LISTED_LARGE_OBJECTS} AS many,
                    (m.oid::bigint / 10000 * 10000) || ' to ' || (m.oid::bigint / 10000 * 10000 + 9999) AS range,
                    hashtextextended(m.oid::text, 0) AS number, jsonb_build_object(
                    {comment("pg_largeobject", "m.oid")},
                    {owner("m.lomowner")}, 'acl', {acl("L", "m.lomacl", "m.lomowner")}) AS found
                FROM pg_largeobject_metadata m
            ), parts AS (
                SELECT range, 'owners' AS part, found ->> 'owner' AS said, sum(number)::text AS numbers
                FROM listed WHERE many GROUP BY 1, 3
                UNION ALL SELECT range, 'granted', line, sum(number)::text
                FROM listed, jsonb_array_elements_text(found -> 'acl') AS line WHERE many GROUP BY 1, 3
            )
            SELECT oid::text, '', found FROM listed WHERE NOT many
            UNION ALL SELECT l.range, '', jsonb_build_object('count', count(*),
                'digest', sum(hashtextextended(l.oid || ' ' || coalesce(l.found ->> 'comment', ''), 0))::text,
                'owners', (SELECT jsonb_object_agg(p.said, p.numbers) FROM parts p
                           WHERE p.range = l.range AND p.part = 'owners'),
                'granted', (SELECT coalesce(jsonb_object_agg(p.said, p.numbers), '{{}}') FROM parts p
                            WHERE p.range = l.range AND p.part = 'granted'))
            FROM listed l WHERE l.many GROUP BY l.range""",
        "database": f"""
            SELECT 'database', '', jsonb_build_object('name', quote_ident(d.datname),
                'encoding', pg_encoding_to_char(d.encoding), 'collate', d.datcollate, 'ctype', d.datctype,
                'provider', CASE d.datlocprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END,
                'locale', {"d.datlocale" if major >= 17 else "d.daticulocale"},
                'rules', {"d.daticurules" if major >= 16 else "NULL::text"},
                'connection limit', nullif(d.datconnlimit, -1),
                'default tablespace', (SELECT nullif(s.spcname, 'pg_default') FROM pg_tablespace s
                                       WHERE s.oid = d.dattablespace),
                'belongs to', quote_ident(pg_get_userbyid(d.datdba)),
                'described as', (SELECT y.description FROM pg_shdescription y WHERE y.objoid = d.oid
                                 AND y.classoid = 'pg_database'::regclass),
                'grants', {acl("d", "d.datacl", "d.datdba")})
            FROM pg_database d WHERE d.datname = current_database()""",
        "database setting": f"""
            SELECT coalesce(quote_ident(r.rolname) || ' ', '') || split_part(s.setting, '=', 1), '', jsonb_build_object(
                'role', quote_ident(r.rolname), 'name', split_part(s.setting, '=', 1),
                'value', substr(s.setting, strpos(s.setting, '=') + 1))
            FROM pg_db_role_setting d CROSS JOIN unnest(d.setconfig) AS s(setting)
            LEFT JOIN pg_roles r ON r.oid = d.setrole
            WHERE d.setdatabase = {_HERE} AND s.setting NOT LIKE 'default_transaction_read_only=%'""",
        "role": f"""
            {_INVOLVED} SELECT quote_ident(r.rolname), '', jsonb_build_object('login', r.rolcanlogin,
                'superuser', r.rolsuper, 'inherit', r.rolinherit, 'createrole', r.rolcreaterole,
                'createdb', r.rolcreatedb, 'replication', r.rolreplication, 'bypassrls', r.rolbypassrls,
                'connection limit', nullif(r.rolconnlimit, -1), 'valid until', extract(epoch FROM r.rolvaliduntil),
                'comment', shobj_description(r.oid, 'pg_authid'), 'involved', r.oid IN (SELECT oid FROM involved),
                'connected', r.rolname = session_user)
            FROM pg_roles r WHERE r.rolname !~ '^pg_'""",
        "role membership": f"""
            {_INVOLVED} SELECT quote_ident(u.rolname) || ' in ' || quote_ident(g.rolname), '', jsonb_build_object(
                'role', quote_ident(g.rolname), 'member', quote_ident(u.rolname), 'admin', bool_or(m.admin_option)
                {", 'inherit', bool_or(m.inherit_option), 'set', bool_or(m.set_option)" if major >= 16 else ""})
            FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles u ON u.oid = m.member
            WHERE m.roleid IN (SELECT oid FROM involved) AND m.member IN (SELECT oid FROM involved)
            GROUP BY u.rolname, g.rolname""",
        "role setting": f"""
            {_INVOLVED} SELECT coalesce(quote_ident(r.rolname), 'ALL') || ' ' || split_part(s.setting, '=', 1), '',
                jsonb_build_object('role', coalesce(quote_ident(r.rolname), 'ALL'),
                'name', split_part(s.setting, '=', 1), 'value', substr(s.setting, strpos(s.setting, '=') + 1),
                'involved', d.setrole = 0 OR d.setrole IN (SELECT oid FROM involved))
            FROM pg_db_role_setting d CROSS JOIN unnest(d.setconfig) AS s(setting)
            LEFT JOIN pg_roles r ON r.oid = d.setrole WHERE d.setdatabase = 0""",
        "tablespace": f"""
            SELECT quote_ident(s.spcname), '', jsonb_build_object('options', to_jsonb(s.spcoptions),
                {owner("s.spcowner")}, 'acl', {acl("t", "s.spcacl", "s.spcowner")})
            FROM pg_tablespace s WHERE s.spcname !~ '^pg_' AND EXISTS (SELECT FROM pg_class c
                WHERE c.reltablespace = s.oid)""",
        "security label": """
            SELECT l.provider || ' on ' || l.objtype || ' ' || (CASE l.objtype WHEN 'database' THEN '' ELSE l.objname
                END), '', jsonb_build_object('label', l.label, 'object', l.objname)
            FROM pg_seclabels l
            WHERE l.objtype <> 'database' OR l.objoid = (SELECT oid FROM pg_database
                WHERE datname = current_database())""",
        "grant beside": _BESIDE.format(parameters=_PARAMETERS if major >= 15 else ""),
    }


_PARAMETERS = """UNION ALL SELECT 'pg_parameter_acl'::regclass, p.oid, 'PARAMETER ' || p.parname, p.paracl, 'p', 10,
            NULL FROM pg_parameter_acl p"""
"""Grants of SET and ALTER SYSTEM on a setting; the owner is the bootstrap superuser, as in PostgreSQL's aclchk.c."""

_BESIDE = f"""
    WITH shipped AS (
        SELECT 'pg_class'::regclass AS classid, c.oid, CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END ||
            c.oid::regclass AS name, c.relacl AS acl, CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END AS kind,
            c.relowner AS owner, c.relnamespace AS nsp
        FROM pg_class c WHERE c.relacl IS NOT NULL AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
        UNION ALL SELECT 'pg_proc'::regclass, p.oid, 'ROUTINE ' || p.oid::regprocedure, p.proacl, 'f', p.proowner,
            p.pronamespace FROM pg_proc p WHERE p.proacl IS NOT NULL
        UNION ALL SELECT 'pg_language'::regclass, l.oid, 'LANGUAGE ' || quote_ident(l.lanname), l.lanacl, 'l',
            l.lanowner, NULL FROM pg_language l WHERE l.lanacl IS NOT NULL
        UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, w.oid, 'FOREIGN DATA WRAPPER ' || quote_ident(w.fdwname),
            w.fdwacl, 'F', w.fdwowner, NULL FROM pg_foreign_data_wrapper w WHERE w.fdwacl IS NOT NULL
        {{parameters}}
    ), changed AS (
        SELECT s.name, s.owner, s.acl, coalesce(i.initprivs, acldefault(s.kind::"char", s.owner)) AS before,
            (SELECT quote_ident(x.extname) FROM pg_depend e JOIN pg_extension x ON x.oid = e.refobjid
             WHERE e.classid = s.classid AND e.objid = s.oid AND e.deptype = 'e') AS extension
        FROM shipped s LEFT JOIN pg_namespace n ON n.oid = s.nsp
        LEFT JOIN pg_init_privs i ON i.objoid = s.oid AND i.classoid = s.classid AND i.objsubid = 0
        WHERE (EXISTS (SELECT FROM pg_depend e WHERE e.classid = s.classid AND e.objid = s.oid AND e.deptype = 'e')
               OR n.nspname = 'pg_catalog' OR s.kind = 'p')
          AND s.acl IS DISTINCT FROM coalesce(i.initprivs, acldefault(s.kind::"char", s.owner))
    )
    SELECT name, '', jsonb_build_object('extension', extension, 'grants', jsonb_agg(line ORDER BY line COLLATE "C"))
    FROM (
        SELECT c.name, c.extension, {grantee("x.grantee")} || ' ' || x.privilege_type || (CASE WHEN x.is_grantable THEN
            ' WITH GRANT OPTION' ELSE '' END) AS line
        FROM changed c CROSS JOIN LATERAL (
            SELECT grantee, privilege_type, is_grantable FROM aclexplode(c.acl)
            EXCEPT SELECT grantee, privilege_type, is_grantable FROM aclexplode(c.before)) x WHERE x.grantee <> c.owner
        UNION ALL SELECT c.name, c.extension, {grantee("x.grantee")} || ' without ' || x.privilege_type
        FROM changed c CROSS JOIN LATERAL (
            SELECT grantee, privilege_type FROM aclexplode(c.before)
            EXCEPT SELECT grantee, privilege_type FROM aclexplode(c.acl)) x WHERE x.grantee <> c.owner) lines
    GROUP BY name, extension"""
"""What was granted or revoked on objects that the server or an extension brought, against what they came with."""


def _generated_columns(major: int) -> str:
    return "'generated columns', p.pubgencols <> 'n'," if major >= 18 else ""


def _published(major: int) -> str:
    """What of a table is published, as it stands after its name in CREATE PUBLICATION."""
    if major < 15:
        return "''"
    return """coalesce(' (' || (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY quote_ident(a.attname)
        COLLATE "C") FROM pg_attribute a WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[])) || ')',
        '') || coalesce(' WHERE (' || pg_get_expr(r.prqual, r.prrelid) || ')', '')"""


def _published_schemas(major: int) -> str:
    if major < 15:
        return "NULL"
    return """(SELECT jsonb_agg(quote_ident(s.nspname) ORDER BY s.nspname COLLATE "C") FROM pg_publication_namespace q
        JOIN pg_namespace s ON s.oid = q.pnnspid WHERE q.pnpubid = p.oid)"""


def _streaming(major: int) -> str:
    if major < 16:
        return "CASE WHEN s.substream THEN 'on' ELSE 'off' END"
    return "CASE s.substream WHEN 't' THEN 'on' WHEN 'p' THEN 'parallel' ELSE 'off' END"


def _since_15(major: int) -> str:
    return "'two phase', s.subtwophasestate <> 'd', 'disable on error', s.subdisableonerr," if major >= 15 else ""
