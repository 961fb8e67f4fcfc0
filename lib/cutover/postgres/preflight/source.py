"""What in the source would not survive the way, or would stop it."""

from __future__ import annotations

from cutover.finding import Severity
from cutover.postgres.preflight.query_checks import USER, Look

SOURCE: tuple[Look, ...] = (
    Look(
        "readable",
        "We may read every table of the source",
        Severity.BLOCKER,
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "  # noqa: S608
        f"WHERE c.relkind IN ('r', 'p', 'm', 'S') AND c.relpersistence <> 't' AND {USER} "
        "AND NOT CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT') "
        "ELSE has_table_privilege(c.oid, 'SELECT') END ORDER BY 1",
        "pg_dump stops at the first table that it may not read.",
        "GRANT SELECT ON {} TO the connecting role, and on what else is named; or connect as the owner.",
    ),
    Look(
        "schemas-readable",
        "We may look into every schema of the source",
        Severity.BLOCKER,
        f"SELECT n.nspname FROM pg_namespace n WHERE {USER} "  # noqa: S608
        "AND NOT has_schema_privilege(n.oid, 'USAGE') ORDER BY 1",
        "pg_dump cannot lock a table in a schema that it may not use.",
        "GRANT USAGE ON SCHEMA {} TO the connecting role.",
    ),
    Look(
        "hidden-rows",
        "No row-level security policy hides rows from us",
        Severity.BLOCKER,
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "  # noqa: S608
        f"WHERE c.relrowsecurity AND row_security_active(c.oid) AND {USER} ORDER BY 1",
        "Rows that we cannot see would be lost; pg_dump refuses such a table.",
        "Connect as the tables' owner (with FORCE ROW LEVEL SECURITY not even that), or as a role with BYPASSRLS.",
    ),
    Look(
        "large-objects",
        "We may read every large object of the source",
        Severity.BLOCKER,
        "SELECT m.oid::text FROM pg_largeobject_metadata m WHERE NOT pg_has_role(m.lomowner, 'USAGE') "
        "AND NOT EXISTS (SELECT FROM aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT' "
        "AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE'))) ORDER BY m.oid",
        "pg_dump stops at the first large object that it may not read.",
        "GRANT SELECT ON LARGE OBJECT {} TO the connecting role, and on what else is named.",
    ),
    Look(
        "long-transactions",
        "No transaction has been open for more than five minutes",
        Severity.MEDIUM,
        "SELECT format('pid %s, %s, %s since %s', pid, usename, state, date_trunc('second', xact_start)) "
        "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND xact_start < now() - interval '5 minutes' ORDER BY xact_start",
        "Its writes are not in the dump, it may hold locks that the dump waits for, and VACUUM waits for it.",
        "Let it end, or SELECT pg_terminate_backend(pid) for {}.",
    ),
    Look(
        "prepared",
        "No prepared transaction is waiting",
        Severity.HIGH,
        "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared",
        "Its writes are in no dump, and may be committed at any time later; it holds its locks until then.",
        "COMMIT PREPARED '{}' or ROLLBACK PREPARED '{}'.",
    ),
    Look(
        "invalid-indexes",
        "Every index is valid",
        Severity.MEDIUM,
        "SELECT indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "WHERE (NOT indisvalid OR NOT indisready) AND c.relkind = 'i' ORDER BY 1",
        "A restore builds it anew as a valid one, or fails when its rows are not unique.",
        "REINDEX INDEX CONCURRENTLY {}; or drop it.",
    ),
    Look(
        "not-valid",
        "Every constraint is validated",
        Severity.MEDIUM,
        "SELECT coalesce(nullif(conrelid, 0)::regclass::text, contypid::regtype::text) || '.' || quote_ident(conname) "
        "FROM pg_constraint WHERE NOT convalidated ORDER BY 1",
        "Existing rows may break it; it is restored as NOT VALID.",
        "ALTER TABLE … VALIDATE CONSTRAINT …; for {}, or accept it.",
    ),
    Look(
        "slots",
        "No replication slot is orphaned",
        Severity.MEDIUM,
        "SELECT format('%s (keeps %s of WAL, %s; max_slot_wal_keep_size %s)', slot_name, "
        "coalesce(pg_size_pretty(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "
        "ELSE pg_current_wal_lsn() END, restart_lsn)), '?'), coalesce(wal_status, 'status unknown'), "
        "current_setting('max_slot_wal_keep_size')) FROM pg_replication_slots WHERE NOT active ORDER BY 1",
        "An inactive slot keeps the write-ahead log until the disk is full, or, with max_slot_wal_keep_size, is lost.",
        "SELECT pg_drop_replication_slot('…'); once nobody needs it: {}.",
    ),
    Look(
        "unlogged",
        "No table is unlogged",
        Severity.LOW,
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "  # noqa: S608
        f"WHERE c.relkind = 'r' AND c.relpersistence = 'u' AND {USER} ORDER BY 1",
        "Its rows are lost at a crash and are not on a replica: after a Multi-AZ failover it is empty.",
        "ALTER TABLE {} SET LOGGED; if its rows matter.",
    ),
    Look(
        "subscriptions",
        "No subscription feeds the source",
        Severity.MEDIUM,
        "SELECT subname FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database "
        "WHERE datname = current_database()) ORDER BY 1",
        "Its rows go on arriving during the freeze, and a restored subscription does not connect by itself.",
        "ALTER SUBSCRIPTION {} DISABLE; before the freeze, and make it anew on the target if it is still wanted.",
    ),
    Look(
        "foreign",
        "No foreign server is used",
        Severity.MEDIUM,
        "SELECT srvname FROM pg_foreign_server ORDER BY 1",
        "Its tables' rows live elsewhere and are not moved; the target must reach that server, and user mappings with "
        "their passwords are dumped only for a superuser.",
        "Check that the target's network reaches {}, and make its user mappings by hand.",
    ),
)
"""Checks of the source, each a query that names offenders."""
