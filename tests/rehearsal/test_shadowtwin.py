"""The stand-in application: the guide's contract, its flows through a real queue, and every fault it can inject."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import requests
from standin import ADMIN, StandIn, client, emulator, loaded_database, stand_in, until

from cutover.action import Change
from cutover.queue import PauseQueues, check_drained, read_queues
from cutover.rehearsal import postgres as pg
from cutover.rehearsal import valkey as vk
from cutover.rehearsal.data import fill_queues
from cutover.rehearsal.shadowtwin.reports import draw_pdf, open_shelf


@pytest.fixture(scope="module")
def redis_url(valkey: vk.ValkeyServer) -> str:
    """A database of Redis of these tests' own."""
    return valkey.url[:-1] + "1"


@pytest.fixture(scope="module")
def database(pg17: pg.Server) -> Iterator[str]:
    """ShadowTwin's data, a little of it."""
    with loaded_database(pg17) as url:
        yield url


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, database: str, redis_url: str) -> Iterator[StandIn]:
    """One instance for all tests that leave it as it was."""
    with stand_in(tmp_path_factory.mktemp("app"), database, redis_url) as running:
        yield running


def report_of(app: StandIn, token: str) -> str:
    """Order a report of a new twin; its id."""
    twin = app.call("POST", "/api/twins", token, json={"name": "for a report"}).json()["id"]
    ordered = app.call("POST", "/api/reports", token, json={"twin_id": twin})
    assert ordered.status_code == 202, ordered.text
    return str(ordered.json()["id"])


def status_of(app: StandIn, token: str, report: str) -> str:
    """What the application says of a report."""
    return str(app.call("GET", f"/api/reports/{report}", token).json()["status"])


def completed_job_of(server: redis.Redis, report: str) -> dict[str, str]:
    """The hash of the completed job that drew this report; empty while there is none."""
    for name in server.zrevrange("bull:reports:completed", 0, -1):
        job: dict[str, str] = server.hgetall(f"bull:reports:{name}")
        if json.loads(job["data"])["reportId"] == report:
            return job
    return {}


def test_health_answers_exactly_the_guides_keys(app: StandIn) -> None:
    """Lines 945-992: status, timestamp, version and three checks, 200 when all is well."""
    answer = app.call("GET", "/api/health")
    body = answer.json()
    assert answer.status_code == 200
    assert list(body) == ["status", "timestamp", "version", "checks"]
    assert body["checks"] == {"database": "healthy", "redis": "healthy", "memory": "healthy"}
    assert body["version"] == "1.2.3"
    assert body["timestamp"].endswith("Z")


def test_a_user_signs_in_creates_a_twin_and_reads_it(app: StandIn) -> None:
    """The session is a row in the database, the twin as well."""
    token = app.sign_in()
    made = app.call("POST", "/api/twins", token, json={"name": "Ada's twin"})
    assert made.status_code == 201
    twins = app.call("GET", "/api/twins", token).json()["twins"]
    assert {"id": made.json()["id"], "name": "Ada's twin"}.items() <= twins[0].items()
    talks = app.call("GET", f"/api/twins/{made.json()['id']}/conversations", token)
    assert talks.json() == {"conversations": []}


def test_a_report_becomes_a_pdf_through_a_queue_that_is_bullmqs(app: StandIn, redis_url: str) -> None:
    """The job's hash and its place in `completed` are as BullMQ leaves them."""
    token = app.sign_in()
    report = report_of(app, token)
    until(lambda: status_of(app, token, report) == "done")
    pdf = app.call("GET", f"/api/reports/{report}/pdf", token)
    assert pdf.headers["Content-Type"] == "application/pdf"
    assert pdf.content.startswith(b"%PDF")
    with redis.Redis.from_url(redis_url, decode_responses=True) as server:
        # The row says done a moment before the job is in `completed`, where other tests' jobs are already.
        job = until(lambda: completed_job_of(server, report))
    assert {"name", "opts", "timestamp", "processedOn", "finishedOn", "returnvalue", "atm"} <= set(job)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nowhere", None, 404),
        ("DELETE", "/api/twins", None, 405),
        ("GET", "/api/twins", None, 401),
        ("POST", "/api/auth/login", {"email": 5}, 400),
        ("POST", "/api/auth/login", {"email": "check@shadowtwin.example", "password": "wrong"}, 401),
        ("POST", "/api/auth/login", {"email": ADMIN[0], "password": "wrong"}, 401),
        ("GET", "/api/admin/stats", None, 403),
        ("PUT", "/api/admin/maintenance", {"enabled": True}, 403),
    ],
)
def test_strangers_are_refused(app: StandIn, method: str, path: str, body: Any, status: int) -> None:
    """Without a session, with a wrong one, or with nonsense."""
    assert app.call(method, path, json=body).status_code == status
    assert app.call(method, path, json=body, token="admin.99999999999.0" + "0" * 63).status_code == status


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/twins", {"name": ""}, 400),
        ("POST", "/api/twins", [], 400),
        ("POST", "/api/reports", {"twin_id": "20"}, 404),
        ("POST", "/api/reports", {"twin_id": "9" * 30}, 404),
        ("GET", "/api/twins/not-a-number/conversations", None, 404),
        ("GET", "/api/reports/not-a-uuid", None, 404),
        ("GET", "/api/reports/00000000-0000-4000-8000-000000000000/pdf", None, 404),
        ("GET", "/api/admin/stats", None, 403),
    ],
)
def test_a_user_gets_only_what_is_theirs(app: StandIn, method: str, path: str, body: Any, status: int) -> None:
    """Somebody else's twin does not exist for them; nonsense is a 4xx, never a 500."""
    assert app.call(method, path, app.sign_in(), json=body).status_code == status


def test_a_body_that_is_no_json_is_refused(app: StandIn) -> None:
    """And the connection survives it."""
    assert app.call("POST", "/api/auth/login", data=b"{").status_code == 400


def test_maintenance_keeps_everybody_out_but_health_and_the_administrator(app: StandIn, redis_url: str) -> None:
    """It is a key in that home's Redis; switching it twice is switching it once."""
    visitor, admin = app.sign_in(), app.sign_in(ADMIN)
    try:
        for _ in range(2):
            assert app.call("PUT", "/api/admin/maintenance", admin, json={"enabled": True}).status_code == 200
        for method, path in [("GET", "/"), ("GET", "/api/twins"), ("POST", "/api/twins"), ("GET", "/nowhere")]:
            answer = app.call(method, path, visitor, json={"name": "late"})
            assert answer.status_code == 503
            assert answer.json() == {"error": "maintenance"}
            assert answer.headers["Retry-After"] == "120"
        login = {"email": "check@shadowtwin.example", "password": "a-visitor's-password"}
        assert app.call("POST", "/api/auth/login", json=login).status_code == 503
        assert app.call("GET", "/api/health").status_code == 200
        assert app.call("GET", "/api/admin/stats", app.sign_in(ADMIN)).status_code == 200
        with redis.Redis.from_url(redis_url) as server:
            assert server.exists("shadowtwin:maintenance")
    finally:
        app.call("PUT", "/api/admin/maintenance", admin, json={"enabled": False})
    assert app.call("GET", "/api/twins", visitor).status_code == 200


def test_an_administrator_signs_in_while_the_database_refuses_writes(app: StandIn, database: str) -> None:
    """Frozen: users cannot sign in (a session is a write), but maintenance can still be lifted; reads go on."""
    visitor = app.sign_in()
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'shadowtwin'"
        )
        try:
            until(lambda: app.call("GET", "/api/twins", visitor).status_code == 200)
            refused = app.call("POST", "/api/twins", visitor, json={"name": "too late"})
            assert refused.status_code == 503
            assert app.call("GET", "/api/admin/stats", app.sign_in(ADMIN)).status_code == 200
        finally:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'shadowtwin'"
            )
    until(lambda: app.call("POST", "/api/twins", visitor, json={"name": "thawed"}).status_code == 201)


def test_latency_slows_everything_but_health(app: StandIn) -> None:
    """A hundred slow requests under way do not make the health check slow."""
    with app.faults(latency_s=1.0):
        threads = [threading.Thread(target=app.call, args=("GET", "/")) for _ in range(30)]
        for thread in threads:
            thread.start()
        assert app.call("GET", "/api/health").elapsed.total_seconds() < 0.9
        assert app.call("GET", "/").elapsed.total_seconds() >= 1.0
        for thread in threads:
            thread.join()


def test_an_error_rate_is_an_exact_share(app: StandIn) -> None:
    """One in four is one in four, also in forty requests; health checks are spared."""
    with app.faults(error_rate=0.25):
        codes = [app.call("GET", "/").status_code for _ in range(40)]
        healthy = [app.call("GET", "/api/health").status_code for _ in range(8)]
    assert codes.count(500) == 10
    assert set(healthy) == {200}


def test_a_hang_answers_nobody_until_it_is_lifted(app: StandIn) -> None:
    """Health checks included; requests that waited are answered afterwards."""
    answers: list[int] = []
    with app.faults(hang=True):
        with pytest.raises(requests.Timeout):
            app.call("GET", "/api/health", timeout=1)
        waiting = threading.Thread(target=lambda: answers.append(app.call("GET", "/").status_code))
        waiting.start()
        waiting.join(0.5)
        assert not answers
    waiting.join(10)
    assert answers == [200]


@pytest.mark.parametrize("flow", ["login", "twins"])
def test_a_broken_flow_breaks_that_flow_only(app: StandIn, flow: str) -> None:
    """And the health check does not notice, as in life."""
    token = app.sign_in()
    app.call("POST", "/api/twins", token, json={"name": "mine"})
    with app.faults(broken_flow=flow):
        login = {"email": "check@shadowtwin.example", "password": "a-visitor's-password"}
        signed_in = app.call("POST", "/api/auth/login", json=login).status_code
        name = app.call("GET", "/api/twins", token).json()["twins"][0]["name"]
        assert (signed_in, name) == ((500, "mine") if flow == "login" else (200, "somebody else's twin"))
        assert app.call("GET", "/api/health").status_code == 200


def test_broken_reports_are_never_finished_until_it_is_lifted(app: StandIn, redis_url: str) -> None:
    """The job stays active, its lock is kept, and it is finished afterwards."""
    token = app.sign_in()
    with app.faults(broken_flow="reports"):
        report = report_of(app, token)
        until(lambda: [q.active for q in read_queues(redis_url) if q.name == "reports"] == [1])
        time.sleep(0.5)
        assert status_of(app, token, report) == "queued"
    until(lambda: status_of(app, token, report) == "done")


@pytest.mark.parametrize(
    ("fault", "check", "path"),
    [("lost_database", "database", "/api/twins"), ("lost_queue", "redis", "/api/reports")],
)
def test_what_is_lost_degrades_the_health_check(app: StandIn, fault: str, check: str, path: str) -> None:
    """503 and `degraded` where the guide's code says so, and 503 for the requests that need it."""
    token = app.sign_in()
    with app.faults(**{fault: True}):
        health = app.call("GET", "/api/health")
        method = "GET" if check == "database" else "POST"
        assert app.call(method, path, token, json={"twin_id": "1"}).status_code == 503
    assert health.status_code == 503
    assert health.json()["status"] == "degraded"
    assert health.json()["checks"][check] == "unhealthy"


def test_a_faults_file_that_is_half_written_changes_nothing(app: StandIn) -> None:
    """A truncated JSON neither clears the faults nor stops the application."""
    with app.faults(error_rate=1.0):
        assert app.call("GET", "/").status_code == 500
        app.faults_file.write_text('{"error_rate": 0')
        time.sleep(0.3)
        assert app.call("GET", "/").status_code == 500


def test_it_recovers_by_itself_when_the_database_comes_back(app: StandIn, database: str, pg17: pg.Server) -> None:
    """Connections that were cut are replaced; no restart is needed."""
    token = app.sign_in()
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    with psycopg.connect(pg17.url(), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            until(lambda: app.call("GET", "/api/health").status_code == 503)
            assert app.call("GET", "/api/twins", token).status_code == 503
        finally:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
    until(lambda: app.call("GET", "/api/twins", token).status_code == 200)
    until(lambda: app.call("GET", "/api/health").status_code == 200)


def test_without_redis_it_starts_and_says_not_configured(tmp_path: Path, database: str) -> None:
    """As the guide's code: not configured is not unhealthy. What needs the queue is refused."""
    with stand_in(tmp_path, database, "") as bare:
        health = bare.call("GET", "/api/health")
        assert (health.status_code, health.json()["checks"]["redis"]) == (200, "not_configured")
        twin = bare.call("POST", "/api/twins", bare.sign_in(), json={"name": "bare"}).json()["id"]
        assert bare.call("POST", "/api/reports", bare.sign_in(), json={"twin_id": twin}).status_code == 503


def test_a_restarted_worker_takes_up_what_another_left(tmp_path: Path, database: str, valkey: vk.ValkeyServer) -> None:
    """Jobs that wait and jobs whose worker died are processed; delayed ones stay."""
    url = valkey.url[:-1] + "2"
    fill_queues(url)
    with stand_in(tmp_path, database, url):
        drained = {f.id: f.status for f in check_drained(url, 30)}
    assert drained == {"QUE-01": "PASS", "QUE-02": "PASS", "QUE-03": "FAIL"}


def test_a_paused_queue_holds_reports_back(app: StandIn, redis_url: str) -> None:
    """The worker respects BullMQ's global pause, and goes on after it."""
    pause, token = PauseQueues(redis_url), app.sign_in()
    plan = pause.plan()
    result = pause.apply(plan)
    try:
        report = report_of(app, token)
        time.sleep(1)
        assert status_of(app, token, report) == "queued"
    finally:
        pause.undo(Change(plan, result, "", 0))
    until(lambda: status_of(app, token, report) == "done")


@pytest.mark.parametrize("hangs", [False, True], ids=["slow", "hanging"])
def test_sigterm_finishes_slow_requests_but_does_not_wait_for_hanging_ones(
    tmp_path: Path, database: str, redis_url: str, hangs: bool
) -> None:
    """Exit code 0 either way."""
    with stand_in(tmp_path, database, redis_url) as running:
        running.set_faults({"hang": True} if hangs else {"latency_s": 1.0})
        answers: list[int] = []

        def ask() -> None:
            with contextlib.suppress(requests.ConnectionError):
                answers.append(running.call("GET", "/").status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.4)
        os.kill(running.process.pid, signal.SIGTERM)
        asking.join(15)
        assert running.process.handle.wait(15) == 0
        assert answers == ([] if hangs else [200])


def test_reports_go_to_a_bucket_on_the_aws_side(tmp_path: Path, database: str, valkey: vk.ValkeyServer) -> None:
    """The same flow, with S3 as the shelf."""
    with emulator() as endpoint:
        s3 = client("s3", endpoint)
        s3.create_bucket(Bucket="shadowtwin-reports")
        where = {"REPORTS": "s3://shadowtwin-reports/live", "AWS_ENDPOINT_URL": endpoint}
        with stand_in(tmp_path, database, valkey.url[:-1] + "3", **where) as running:
            token = running.sign_in()
            report = report_of(running, token)
            until(lambda: status_of(running, token, report) == "done")
            content = running.call("GET", f"/api/reports/{report}/pdf", token).content
        stored = s3.get_object(Bucket="shadowtwin-reports", Key=f"live/reports/{report}.pdf")["Body"].read()
    assert stored == content
    assert content.startswith(b"%PDF")


def test_a_pdf_says_where_each_of_its_objects_begins() -> None:
    """The cross-reference table of a hand-made PDF is right, brackets and all."""
    pdf = draw_pdf("A (small) report", ["one \\ two", "Zoë"])
    table = pdf[int(pdf.split(b"startxref\n")[1].split(b"\n")[0]) :].split(b"\n")
    assert table[:2] == [b"xref", b"0 6"]
    for number, line in enumerate(table[3:8], start=1):
        assert pdf[int(line[:10]) :].startswith(b"%d 0 obj" % number)
    assert rb"A \(small\) report" in pdf


@pytest.mark.parametrize("location", ["", "/srv/reports", "http://bucket", "s3://", "file://"])
def test_a_shelf_must_be_a_folder_or_a_bucket(location: str) -> None:
    """Anything else is refused at the start, not at the first report."""
    with pytest.raises(ValueError, match="REPORTS must be"):
        open_shelf(location, endpoint=None, region="us-east-1")
