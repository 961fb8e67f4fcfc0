"""Faults that a scenario puts into the stage's servers, beyond those that the application injects into itself."""

from __future__ import annotations

import psycopg

from cutover.rehearsal.postgres import Server

VICTIM = "messages"
"""The table that loses rows in `lost-rows`."""

_SWALLOW = """
CREATE FUNCTION pg_catalog.stage_swallow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- One row in 997 never arrives, silently: as with a trigger or a rule that somebody forgot on the new server.
    IF hashtext(NEW::text) % 997 = 0 THEN RETURN NULL; END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION pg_catalog.stage_watch() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE made record;
BEGIN
    FOR made IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE object_identity = 'public.@VICTIM@' LOOP
        IF made.command_tag = 'CREATE TABLE' THEN
            EXECUTE 'CREATE TRIGGER stage_swallow BEFORE INSERT ON public.@VICTIM@
                     FOR EACH ROW EXECUTE FUNCTION pg_catalog.stage_swallow()';
        ELSIF EXISTS (SELECT FROM pg_constraint WHERE conrelid = made.objid AND contype = 'p') THEN
            EXECUTE 'DROP TRIGGER IF EXISTS stage_swallow ON public.@VICTIM@';
        END IF;
    END LOOP;
END $$;
CREATE EVENT TRIGGER stage_watch ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE') EXECUTE FUNCTION pg_catalog.stage_watch();
""".replace("@VICTIM@", VICTIM)

_HEAL = """
DROP EVENT TRIGGER IF EXISTS stage_watch;
DROP FUNCTION IF EXISTS pg_catalog.stage_watch();
DROP FUNCTION IF EXISTS pg_catalog.stage_swallow() CASCADE;
"""


def lose_rows(server: Server, database: str) -> None:
    """From now on an import into `database` loses some rows of the victim table, without any error."""
    with psycopg.connect(server.url(database), autocommit=True) as connection:
        connection.execute(_SWALLOW.encode())


def lose_no_more_rows(server: Server, database: str) -> None:
    """Take `lose_rows` out again; what was lost stays lost."""
    with psycopg.connect(server.url(database), autocommit=True) as connection:
        connection.execute(_HEAL.encode())


def lose_a_copied_row(server: Server, database: str) -> None:
    """Take one row of the victim table out of a copy that follows its source, as a slip of an administrator would."""
    with psycopg.connect(server.url(database), autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("SET session_replication_role = replica")
        connection.execute(f"DELETE FROM public.{VICTIM} WHERE id = (SELECT min(id) FROM public.{VICTIM})".encode())  # noqa: S608
