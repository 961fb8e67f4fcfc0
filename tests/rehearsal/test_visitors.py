"""The visitors: they go where DNS leads, arrive whether or not anybody answers, and write down what became of them."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from standin import LOGIN, client, closed_port, emulator, loaded_database, say, stand_in, until, web_server

from cutover.rehearsal import postgres as pg
from cutover.rehearsal import processes
from cutover.rehearsal import valkey as vk
from cutover.rehearsal.dns import Resolver, Zone
from cutover.rehearsal.visitors import main

HOSTNAME, OLD, NEW = "app.shadowtwin.example", "replit.shadowtwin.example", "new.shadowtwin.example"


@pytest.fixture(scope="module")
def route53() -> Iterator[tuple[Any, str, int]]:
    """A hosted zone, its id, and the port of a resolver that answers from it."""
    with emulator() as endpoint:
        route53 = client("route53", endpoint)
        zone = route53.create_hosted_zone(Name="shadowtwin.example", CallerReference="v")["HostedZone"]["Id"]
        homes = {OLD: "127.0.0.1:1", NEW: "127.0.0.1:1"}
        resolver = Resolver("127.0.0.1", 0, Zone(endpoint, "shadowtwin.example"), homes)
        resolver.start()
        yield route53, zone, resolver.port
        resolver.stop()


def point(route53: tuple[Any, str, int], target: str) -> None:
    """Let the public name lead to this home."""
    record = {"Name": HOSTNAME, "Type": "CNAME", "TTL": 300, "ResourceRecords": [{"Value": target}]}
    changes = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]}
    route53[0].change_resource_record_sets(HostedZoneId=route53[1], ChangeBatch=changes)
    time.sleep(0.6)


@contextlib.contextmanager
def visiting(folder: Path, port: int, homes: dict[str, str], **more: str) -> Iterator[processes.Process]:
    """Visitors at work; their log is `folder/visits.jsonl`."""
    argv = [sys.executable, "-m", "cutover.rehearsal.visitors", "--hostname", HOSTNAME]
    argv += ["--resolver", f"127.0.0.1:{port}", "--homes", json.dumps(homes), "--log", str(folder / "visits.jsonl")]
    for name, value in ({"rate": "25"} | more).items():
        argv += [f"--{name.replace('_', '-')}", value]
    env = os.environ | {"VISITORS_LOGIN": LOGIN}
    with processes.spawn(argv, name="visitors", log=folder / "visitors.log", env=env) as process:
        yield process


def visits(folder: Path) -> list[dict[str, Any]]:
    """What is in the log so far."""
    path = folder / "visits.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_visitors_move_with_the_record(
    tmp_path: Path, route53: tuple[Any, str, int], pg17: pg.Server, valkey: vk.ValkeyServer
) -> None:
    """To the source, with every request answered; then to the new one, within their cache's second."""
    point(route53, OLD)
    with (
        loaded_database(pg17) as database,
        stand_in(tmp_path / "old", database, valkey.url[:-1] + "1") as old,
        stand_in(tmp_path / "new", database, valkey.url[:-1] + "1") as new,
    ):
        homes = {OLD: old.base.removeprefix("http://"), NEW: new.base.removeprefix("http://")}
        with visiting(tmp_path, route53[2], homes) as process:
            until(lambda: len(visits(tmp_path)) >= 80)
            point(route53, NEW)
            moved = time.time() + 1
            until(lambda: sum(v["due_s"] > moved for v in visits(tmp_path)) >= 25)
            assert process.stop() == 0
    log = visits(tmp_path)
    assert {v["outcome"] for v in log} == {"ok"}
    assert {v["home"] for v in log[:60]} == {OLD}
    assert {v["home"] for v in log if v["due_s"] > moved} == {NEW}
    assert {"home", "health", "list_twins", "conversations", "create_twin", "report"} <= {v["endpoint"] for v in log}
    assert all(v["due_s"] <= v["sent_s"] + 0.05 <= v["done_s"] + 0.1 for v in log)


def test_a_home_that_hangs_does_not_stop_the_arrivals(tmp_path: Path, route53: tuple[Any, str, int]) -> None:
    """At most so many are under way; the others are written down as never sent, at the rate they came."""
    point(route53, OLD)
    with (
        web_server(lambda *_: time.sleep(30)) as server,
        visiting(tmp_path, route53[2], {OLD: server}, in_flight="5") as process,
    ):
        until(lambda: len(visits(tmp_path)) >= 20)
        process.handle.kill()
    assert {v["outcome"] for v in visits(tmp_path)} == {"never_sent"}


@pytest.mark.parametrize(
    ("outcome", "status"), [("connection", None), ("http_5xx", 503), ("http_4xx", 404), ("dns", None)]
)
def test_bad_luck_is_written_down_by_its_name(
    tmp_path: Path, route53: tuple[Any, str, int], outcome: str, status: int | None
) -> None:
    """Refused, answered with an error, or a name that leads nowhere."""
    point(route53, "nowhere.example.org" if outcome == "dns" else OLD)

    def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        say(handler, status or 200)

    with web_server(answer) as server:
        home = f"127.0.0.1:{closed_port()}" if outcome == "connection" else server
        with visiting(tmp_path, route53[2], {OLD: home}, max_seconds="0.5") as process:
            assert process.handle.wait(20) == 0
    log = visits(tmp_path)
    assert Counter(v["outcome"] for v in log) == {outcome: 13}
    assert {v["status"] for v in log} == {status}


@pytest.mark.parametrize("rate", ["0", "-1", "100000"])
def test_a_rate_must_be_one(rate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither none nor a flood."""
    argv = ["visitors", "--hostname", "h", "--resolver", "127.0.0.1:1", "--homes", "{}", "--log", str(tmp_path / "l")]
    monkeypatch.setattr(sys, "argv", [*argv, "--rate", rate])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
