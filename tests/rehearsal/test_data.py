"""ShadowTwin's data: the same every time, of every kind that breaks migrations, and fit to be migrated."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bcrypt
import psycopg
import pytest
import redis
from bullmq import Job, Queue

from cutover.errors import StageError
from cutover.rehearsal import data, postgres
from cutover.rehearsal import valkey as vk
from cutover.rehearsal.data import queues, rows

ROWS = 6_000
VISITOR = (data.VISITOR, "visitor's own pässword")
ADMIN = ("root@shadowtwin.example", "admin's own")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Server]:
    """A PostgreSQL 17 with the data in its database `shadowtwin`."""
    folder = tmp_path_factory.mktemp("loaded")
    with data.start_loaded(folder, rows=ROWS, visitor=VISITOR, admin=ADMIN) as server:
        server.create_role("shadowtwin_app")
        yield server


@pytest.fixture(scope="module")
def url(loaded: postgres.Server) -> str:
    """The loaded database, as superuser."""
    return loaded.url("shadowtwin")


def ask(url: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """All rows."""
    with psycopg.connect(url) as connection:
        return connection.execute(statement.encode(), values or None).fetchall()


def digest(url: str) -> dict[str, tuple[int, str]]:
    """Rows and MD5 over the sorted text of the rows, by table."""
    return {
        table: ask(
            url, f"SELECT count(*), md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table} t"
        )[0]
        for table in data.counts(rows.SMALLEST)
    }


@pytest.mark.parametrize("total", [2_000, 6_000, 300_000, 1_234_567])
def test_the_rows_add_up_to_what_was_asked_for(total: int) -> None:
    """And messages are the most."""
    counts = data.counts(total)
    assert sum(counts.values()) == total
    assert max(counts, key=lambda table: counts[table]) == "public.messages"


def test_every_table_has_the_rows_that_were_told(url: str) -> None:
    """Those without any, too."""
    assert {table: n for table, (n, _) in digest(url).items()} == data.counts(ROWS)


def test_the_same_size_and_seed_give_the_same_rows_in_either_major(
    pg17: postgres.Server, pg18: postgres.Server, fresh_database: Callable[..., str]
) -> None:
    """And another seed gives others."""
    made = {}
    for key, server, seed in (("17", pg17, 1), ("18", pg18, 1), ("other", pg17, 2)):
        fresh = fresh_database(server)
        data.load(fresh, rows=rows.SMALLEST, seed=seed)
        made[key] = digest(fresh)
    assert made["17"] == made["18"]
    same = {table for table in made["17"] if made["17"][table] == made["other"][table]}
    assert same == {"public.plans", "public.feature_flags", "public.schema_migrations", "public.webhooks"}


HAS = {
    "identity keys, always": "SELECT 1 FROM pg_attribute WHERE attidentity = 'a'",
    "identity keys, by default": "SELECT 1 FROM pg_attribute WHERE attidentity = 'd'",
    "serial keys": "SELECT 1 FROM pg_attrdef WHERE pg_get_expr(adbin, adrelid) LIKE 'nextval(%'",
    "a sequence that belongs to no column": "SELECT 1 FROM pg_class c WHERE relkind = 'S' AND NOT EXISTS "
    "(SELECT 1 FROM pg_depend WHERE objid = c.oid AND deptype IN ('a', 'i'))",
    "enums": "SELECT 1 FROM pg_type WHERE typtype = 'e'",
    "a domain": "SELECT 1 FROM pg_type WHERE typname = 'amount' AND typtype = 'd'",
    "a composite type": "SELECT 1 FROM pg_type WHERE typname = 'address' AND typtype = 'c'",
    "arrays": "SELECT 1 FROM pg_attribute WHERE atttypid = 'text[]'::regtype AND attrelid = 'public.users'::regclass",
    "generated columns": "SELECT 1 FROM pg_attribute WHERE attgenerated = 's'",
    "partial indexes": "SELECT 1 FROM pg_index WHERE indpred IS NOT NULL",
    "expression indexes": "SELECT 1 FROM pg_index WHERE indexprs IS NOT NULL",
    "an exclusion constraint": "SELECT 1 FROM pg_constraint WHERE contype = 'x'",
    "check constraints": "SELECT 1 FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0",
    "a deferrable foreign key": "SELECT 1 FROM pg_constraint WHERE contype = 'f' AND condeferrable",
    "views": "SELECT 1 FROM pg_views WHERE schemaname = 'public' HAVING count(*) >= 2",
    "a materialised view with rows": "SELECT 1 FROM analytics.daily_usage",
    "triggers": "SELECT 1 FROM pg_trigger WHERE NOT tgisinternal",
    "a function in PL/pgSQL": "SELECT 1 FROM pg_proc p JOIN pg_language l ON l.oid = prolang "
    "WHERE lanname = 'plpgsql' AND pronamespace = 'public'::regnamespace",
    "a function in SQL with a parsed body": "SELECT 1 FROM pg_proc WHERE prosqlbody IS NOT NULL "
    "AND pronamespace = 'public'::regnamespace",
    "range partitions, one of them the default": "SELECT 1 FROM pg_partitioned_table "
    "WHERE partstrat = 'r' AND partdefid <> 0",
    "hash partitions": "SELECT 1 FROM pg_partitioned_table WHERE partstrat = 'h'",
    "rows in the default partition": "SELECT 1 FROM audit.log_other",
    "comments": "SELECT 1 FROM pg_description WHERE objoid = 'public.users'::regclass AND objsubid > 0",
    "column privileges": "SELECT 1 FROM pg_attribute WHERE attacl IS NOT NULL",
    "a table without a key": "SELECT 1 FROM pg_class c WHERE relname = 'page_views' AND NOT EXISTS "
    "(SELECT 1 FROM pg_index WHERE indrelid = c.oid AND indisunique)",
    "rows that are there three times": "SELECT 1 FROM page_views GROUP BY page_views.* HAVING count(*) > 2",
    "names that need quotes": 'SELECT 1 FROM "LegacyImports" WHERE "Payload Text" IS NULL',
    "NULL and empty text": "SELECT 1 FROM conversations HAVING bool_or(title IS NULL) AND bool_or(title = '')",
    "NULL and empty bytea": 'SELECT 1 FROM "LegacyImports" WHERE length(raw) = 0',
    "values that leave the row": "SELECT 1 FROM attachments WHERE length(content) > 20000",
    "NaN": "SELECT 1 FROM twin_metrics WHERE value = 'NaN'",
    "infinity": "SELECT 1 FROM twin_metrics WHERE value = 'infinity'",
    "negative zero": "SELECT 1 FROM twin_metrics WHERE value = 0 AND value::text = '-0'",
    "the smallest number above zero": "SELECT 1 FROM twin_metrics WHERE value > 0 AND value < 1e-300",
    "numerics that differ in their scale only": "SELECT 1 FROM twin_metrics WHERE exact = 0 "
    "HAVING count(DISTINCT exact::text) > 1",
    "numerics with thirty digits": "SELECT 1 FROM twin_metrics WHERE exact > 1e29 AND exact <> 'infinity'",
    "dates without an end": "SELECT 1 FROM twin_metrics WHERE day = 'infinity'",
    "dates before Christ": "SELECT 1 FROM twin_metrics WHERE day < '0001-01-01' AND day <> '-infinity'",
    "intervals that are equal and not the same": "SELECT 1 FROM twin_metrics WHERE lasted = '1 mon' "
    "HAVING count(DISTINCT lasted::text) > 1",
    "arrays whose first index is not one": "SELECT 1 FROM twin_metrics WHERE array_lower(samples, 1) = 0",
    "arrays with NULL in them": "SELECT 1 FROM twin_metrics WHERE samples::text LIKE '%NULL%'",
    "text in other alphabets": "SELECT 1 FROM messages WHERE body LIKE '%привет%'",
    "text outside the basic plane": "SELECT 1 FROM messages WHERE body LIKE '%🚀%'",
    "text that is composed in two ways": "SELECT 1 FROM messages WHERE body <> normalize(body)",
    "tabs, line ends and backslashes": r"SELECT 1 FROM messages WHERE body LIKE E'%\r\n%' OR body LIKE E'%\t%\\%'",
    "text that looks like COPY's NULL": r"SELECT 1 FROM messages WHERE body LIKE '%\\N%'",
    "JSON that repeats a key": """SELECT 1 FROM jobs WHERE payload::text LIKE '%"a":1, "a":2%'""",
    "nested JSON": "SELECT 1 FROM users WHERE settings #>> '{notify,mail,0}' = 'weekly'",
    "open ranges": "SELECT 1 FROM subscriptions WHERE upper_inf(period)",
    "ids with gaps": "SELECT 1 FROM users HAVING max(id) > count(*)",
    "a sequence that is ahead of its rows": "SELECT 1 FROM invoice_number WHERE last_value > "
    "(SELECT max(number) FROM invoices)",
}


@pytest.mark.parametrize("what", HAS)
def test_the_data_have(what: str, url: str) -> None:
    """Each kind of thing that a comparison or a migration may trip over."""
    assert ask(url, HAS[what])


def test_the_counter_that_a_trigger_keeps_is_right_from_the_start(url: str) -> None:
    """The trigger was not there when the rows were loaded."""
    counted = "SELECT count(*) FROM messages m WHERE m.conversation_id = c.id"
    assert ask(url, f"SELECT count(*) FROM conversations c WHERE message_count <> ({counted})") == [(0,)]


def test_everything_belongs_to_the_application(url: str) -> None:
    """No object is the superuser's, so an owner without its rights can dump it all."""
    foreign = """
        SELECT relname FROM pg_class c WHERE relowner <> 'shadowtwin_app'::regrole AND relkind <> 't'
            AND relnamespace IN ('public'::regnamespace, 'audit'::regnamespace, 'analytics'::regnamespace)
        UNION ALL SELECT proname FROM pg_proc p WHERE proowner <> 'shadowtwin_app'::regrole
            AND pronamespace IN ('public'::regnamespace, 'audit'::regnamespace)
            AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
        UNION ALL SELECT datname FROM pg_database
            WHERE datname = current_database() AND datdba <> 'shadowtwin_app'::regrole"""
    assert ask(url, foreign) == []


def test_the_reading_role_may_read_but_not_passwords(url: str) -> None:
    """Privileges on tables, on columns and by default."""
    rights = """
        SELECT has_table_privilege(r, 'public.twins', 'SELECT'), has_table_privilege(r, 'public.twins', 'UPDATE'),
               has_column_privilege(r, 'public.users', 'email', 'SELECT'),
               has_column_privilege(r, 'public.users', 'password_hash', 'SELECT'),
               has_schema_privilege(r, 'audit', 'USAGE')
        FROM (VALUES ('shadowtwin_readonly')) roles (r)"""
    assert ask(url, rights) == [(True, False, True, False, True)]


def test_the_visitor_and_the_administrator_can_sign_in_with_the_given_passwords(url: str) -> None:
    """The administrator got another address, too; everybody else has a hash that no password opens."""
    people = dict(ask(url, "SELECT email::text, password_hash FROM users WHERE id < 4"))
    assert bcrypt.checkpw(VISITOR[1].encode(), people[VISITOR[0]].encode())
    assert bcrypt.checkpw(ADMIN[1].encode(), people[ADMIN[0]].encode())
    shapes = ask(url, r"SELECT bool_and(password_hash ~ '^\$2b\$\d\d\$[./A-Za-z0-9]{53}$') FROM users")
    assert shapes == [(True,)]
    assert ask(url, "SELECT role::text FROM users WHERE email = %s", ADMIN[0]) == [("admin",)]


def test_the_visitor_has_twins_conversations_and_reports(url: str) -> None:
    """So that the critical flows have something to show."""
    of_visitor = "(SELECT id FROM users WHERE email = 'visitor@shadowtwin.example')"
    assert ask(url, f"SELECT count(*) >= 12, bool_or(name <> '') FROM twins WHERE owner_id = {of_visitor}") == [
        (True, True)
    ]
    assert ask(url, f"SELECT count(*) >= 40 FROM conversations WHERE user_id = {of_visitor}") == [(True,)]
    assert ask(url, f"SELECT count(*) FROM reports WHERE requested_by = {of_visitor} AND status = 'done'") == [(40,)]


def test_a_login_for_a_user_that_is_not_there_is_refused(url: str) -> None:
    """Nothing is changed in silence."""
    with pytest.raises(StageError, match="no user nobody@"):
        data.set_login(url, "nobody@shadowtwin.example", "a@b", "secret")


def test_the_application_can_insert_after_the_load(loaded: postgres.Server) -> None:
    """No sequence collides with the rows; the triggers work."""
    inserts = [
        "INSERT INTO users (email, display_name, password_hash) VALUES ('new@example.com', 'New', 'x')",
        "INSERT INTO twins (owner_id, name) VALUES (2, 'Another One')",
        "INSERT INTO conversations (twin_id, user_id) VALUES (1, 2)",
        "INSERT INTO messages (conversation_id, author, body) VALUES (1, 'user', 'hello')",
        "INSERT INTO reports (twin_id, requested_by) VALUES (1, 2)",
        "INSERT INTO invoices (subscription_id, net) VALUES (1000, 5)",
        "INSERT INTO jobs (queue, name) VALUES ('reports', 'generate-report')",
        "INSERT INTO teams (name) VALUES ('New')",
        "INSERT INTO webhooks (url) VALUES ('https://example.com')",
        "INSERT INTO audit.log (action, subject) VALUES ('sign-in', 'user:2')",
    ]
    with psycopg.connect(loaded.url("shadowtwin", "shadowtwin_app")) as connection:
        state = b"SELECT message_count, (SELECT count(*) FROM audit.log) FROM conversations WHERE id = 1"
        messages, logged = connection.execute(state).fetchall()[0]
        for insert in inserts:
            connection.execute(insert.encode())
        connection.execute("UPDATE users SET status = 'suspended' WHERE id = 3")
        assert connection.execute(state).fetchall() == [(messages + 1, logged + 2)]
        connection.rollback()


@pytest.mark.parametrize("owner", ["shadowtwin_app", "shadowtwin_admin"])
def test_it_moves_from_17_to_18_without_a_superuser(
    owner: str, loaded: postgres.Server, pg18: postgres.Server, tmp_path: Path
) -> None:
    """Dumped by its owner with 18's tools, restored by the owner or by RDS' master: no error, the same rows."""
    pg18.create_role("shadowtwin_app")
    pg18.create_role("shadowtwin_admin", options="CREATEDB CREATEROLE")
    name = pg18.create_database(f"moved_{owner}", owner=owner).rpartition("/")[2]
    try:
        source = loaded.url("shadowtwin", "shadowtwin_app")
        for command in (
            [pg18.bin / "pg_dump", "-Fd", "-j2", "-f", tmp_path / "dump", "-d", source],
            [pg18.bin / "pg_restore", "-j2", "--no-owner", "--no-acl", "-d", pg18.url(name, owner), tmp_path / "dump"],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
            assert (done.returncode, done.stderr) == (0, "")
        assert digest(pg18.url(name)) == digest(loaded.url("shadowtwin"))
    finally:
        pg18.drop_database(name)


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    """Before anything is started."""
    with pytest.raises(StageError, match="ask for 2000 or more"):
        data.start_loaded(tmp_path, rows=1_999)


def test_a_load_that_fails_leaves_the_database_as_it_was(
    pg17: postgres.Server, fresh_database: Callable[..., str]
) -> None:
    """All of it is one transaction."""
    fresh = fresh_database(pg17)
    with psycopg.connect(fresh) as connection:
        connection.execute("CREATE SCHEMA analytics")
    with pytest.raises(StageError, match='schema "analytics" already exists'):
        data.load(fresh, rows=2_000)
    assert ask(fresh, "SELECT to_regclass('public.users'), to_regtype('public.user_role')") == [(None, None)]


def test_a_server_that_lacks_the_extensions_is_told(pg16: postgres.Server, fresh_database: Callable[..., str]) -> None:
    """In PostgreSQL's words."""
    with pytest.raises(StageError, match='extension "citext" is not available'):
        data.load(fresh_database(pg16), rows=2_000)


def test_two_servers_from_one_cache_do_not_share_their_data(loaded: postgres.Server, tmp_path: Path) -> None:
    """A rehearsal that loses rows does not lose them for the next."""
    with data.start_loaded(tmp_path / "a", rows=ROWS) as spoiled:
        spoiled.execute("DELETE FROM messages", database="shadowtwin")
        spoiled.execute("ALTER ROLE postgres PASSWORD 'spoiled'")
    with data.start_loaded(tmp_path / "b", rows=ROWS) as fresh:
        assert digest(fresh.url("shadowtwin"))["public.messages"] == digest(loaded.url("shadowtwin"))["public.messages"]


def test_reports_that_are_done_have_the_files_that_their_rows_name(url: str, tmp_path: Path) -> None:
    """By name and by SHA-256; no other row has a file."""
    written = {str(path.relative_to(tmp_path)): path.read_bytes() for path in data.write_reports(tmp_path)}
    told = dict(ask(url, "SELECT file, encode(sha256, 'hex') FROM reports WHERE status = 'done'"))
    assert {name: hashlib.sha256(content).hexdigest() for name, content in written.items()} == told
    assert len(told) == 40
    assert ask(url, "SELECT count(*) FROM reports WHERE status <> 'done' AND file IS NOT NULL") == [(0,)]


def test_a_report_is_a_pdf_whose_table_of_offsets_is_right(tmp_path: Path) -> None:
    """As a reader checks it (ISO 32000-1, 7.5.4 and 7.5.5)."""
    for path in data.write_reports(tmp_path, 3):
        content = path.read_bytes()
        assert content.startswith(b"%PDF-1.4")
        start = re.search(rb"startxref\n(\d+)\n%%EOF\n$", content)
        assert start
        table = content[int(start[1]) :]
        assert table.startswith(b"xref\n0 6\n")
        offsets = [int(entry) for entry in re.findall(rb"(\d{10}) 00000 n \n", table)]
        assert [content[o : o + 7] for o in offsets] == [b"%d 0 obj" % n for n in range(1, 6)]
        stream = re.search(rb"/Length (\d+) >>\nstream\n(.*?)\nendstream", content, re.DOTALL)
        assert stream
        assert int(stream[1]) == len(stream[2])


def test_more_reports_than_there_are_is_refused(tmp_path: Path) -> None:
    """Files without a row would not be missed by a comparison."""
    with pytest.raises(StageError, match="know of 40"):
        data.write_reports(tmp_path, 41)


def counts_by_bullmq(url: str, queue: str) -> dict[str, int]:
    """What BullMQ's own client says of a queue."""

    async def count() -> dict[str, int]:
        client = Queue(queue, {"connection": url, "prefix": "bull"})
        try:
            return dict(await client.getJobCounts("wait", "active", "delayed", "completed", "failed"))
        finally:
            await client.close()

    return asyncio.run(count())


def test_bullmq_itself_counts_the_jobs_of_the_queues(valkey: vk.ValkeyServer) -> None:
    """In each of the five states; filled twice they are the same."""
    url = valkey.url[:-1] + "1"
    for _ in range(2):
        told = data.fill_queues(url)
        for queue, states in told.items():
            assert counts_by_bullmq(url, queue) == states
            assert all(states.values())


def test_bullmq_reads_the_jobs_and_works_on_after_them(valkey: vk.ValkeyServer) -> None:
    """Name, data and options; a job that is added gets the next number."""
    url = valkey.url[:-1] + "2"
    data.fill_queues(url)

    async def look() -> tuple[Any, Any, Any]:
        queue = Queue("reports", {"connection": url, "prefix": "bull"})
        try:
            first = await Job.fromId(queue, "1")
            delayed = (await queue.getJobs(["delayed"]))[0]
            added = await queue.add("generate-report", {"reportId": "x"})
        finally:
            await queue.close()
        return first, delayed, added

    first, delayed, added = asyncio.run(look())
    assert first.name == "generate-report"
    assert set(first.data) == {"reportId", "userId", "twinId"}
    assert first.returnvalue == {"ok": True}
    assert first.opts["attempts"] == 3
    assert delayed.delay >= 3_600_000
    assert added.id == str(sum(queues.JOBS["reports"].values()) + 1)


def test_the_jobs_of_the_queue_are_reports_of_the_database_in_the_same_state(valkey: vk.ValkeyServer, url: str) -> None:
    """What waits there is queued here, what is under way is running, what is completed is done."""
    redis_url = valkey.url[:-1] + "3"
    data.fill_queues(redis_url)
    states = {"wait": "queued", "delayed": "queued", "active": "running", "completed": "done", "failed": "failed"}

    async def jobs(state: str) -> list[str]:
        queue = Queue("reports", {"connection": redis_url, "prefix": "bull"})
        try:
            return [str(job.data["reportId"]) for job in await queue.getJobs([state])]
        finally:
            await queue.close()

    for state, status in states.items():
        ids = asyncio.run(jobs(state))
        assert len(ids) == queues.JOBS["reports"][state]
        found = ask(url, "SELECT id::text, status::text FROM reports WHERE id = ANY (%s::uuid[])", ids)
        assert {report for report, _ in found} == set(ids)
        assert {told for _, told in found} == {status}


def test_the_queues_are_the_same_for_the_same_time(valkey: vk.ValkeyServer) -> None:
    """But for the stream of events, whose entries carry Valkey's own clock."""
    url, seen = valkey.url[:-1] + "1", []
    for _ in range(2):
        data.fill_queues(url, now_s=1_800_000_000)
        with redis.Redis.from_url(url, decode_responses=True) as client:
            jobs = [key for key in sorted(client.keys("bull:*")) if client.type(key) == "hash"]
            seen.append(json.dumps({key: client.hgetall(key) for key in jobs}))
    assert seen[0] == seen[1]
