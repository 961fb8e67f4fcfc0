"""The fault suite in its quick form: real Locust, a real platform that goes wrong, the verdict live and stored.

Of the table's rows, the two that lie 20 ms beside the threshold and the flapping of the guide's own length are in
`test_faults_stored.py`: a busy machine's own milliseconds would decide them here, and nine minutes are too long.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from fault_platform import platform
from fault_runs import HERE, Killer, Said, fired, fires_at, home, kill_one_worker, plan, send
from fault_table import DELAY_S, Fault, begins_s, faults, triggers
from standin import LOGIN

from cutover.finding import Status, Verdict
from cutover.judgement import replay
from cutover.load import driver

RULES = triggers(1.5, error_rate_for_s=3, p95_for_s=3)
TABLE, BEGINS_S = faults(RULES), begins_s(RULES)
EARLY_S = 0.5
"""A request that was due before the fault began may meet it: it was under way. On a busy machine for so long."""


def check(said: Said, fault: Fault, began: float) -> None:
    """What the table demands of every row."""
    assert said.stored.verdict is fault.verdict, said.stored.headline
    if "LOAD-log" not in fault.findings:  # a lost worker: known when the log has ended, and not before
        assert said.live.verdict is said.stored.verdict, said.live.headline
    if fault.verdict is Verdict.ROLLBACK:
        assert said.run.stopped_early
        assert fired(said.stored) & set(fault.findings)
        assert fired(said.live) <= fired(said.stored)  # what has fired is never rolled back
        earliest = fault.earliest_s(RULES)
        assert earliest is not None
        delay = fires_at(said.frame, RULES, fault.findings, after=began) - began - earliest
        assert -EARLY_S <= delay <= DELAY_S
    else:
        assert not fired(said.live) | fired(said.stored)
        assert Verdict.ROLLBACK not in {decision.verdict for decision in said.watch.decisions}
        assert not said.run.stopped_early
    if fault.verdict is Verdict.INCONCLUSIVE:
        undecided = {f.id for f in said.stored.findings if f.status is Status.UNKNOWN}
        assert undecided & set(fault.findings)
    assert replay(said.frame, said.watch.decisions, RULES) == said.watch.decisions


@pytest.mark.parametrize("name", ["hang", "stall of 3 s", "slow (4 s)", "10 % errors at 10/s", "10 % errors at 300/s"])
def test_what_the_platform_does_is_called_by_its_name_in_time(name: str, tmp_path: Path) -> None:
    """No miss, no false alarm, and at most two seconds after the triggers' own meaning allows it."""
    fault = TABLE[name]
    with platform(fault.phases) as server:
        said = send(server.url, plan(fault, RULES), tmp_path, RULES)
        began = server.began + BEGINS_S
    check(said, fault, began)


def test_a_database_that_is_killed_is_rolled_back(tmp_path: Path) -> None:
    """SIGKILL to a real PostgreSQL under the stand-in ShadowTwin, while all kinds of visitors come."""
    fault = TABLE["database killed"]
    with home(tmp_path) as (app, database, _):
        killer = Killer(lambda: os.killpg(database.process.pid, signal.SIGKILL), BEGINS_S)
        said = send(
            app.base, plan(fault, RULES), tmp_path / "log", RULES,
            progress=killer, login=LOGIN, locustfile=driver.LOCUSTFILE,
        )  # fmt: skip
    check(said, fault, killer.killed_at)


def test_a_valkey_that_is_killed_is_rolled_back(tmp_path: Path) -> None:
    """SIGKILL to a real Valkey under the stand-in ShadowTwin: its health says so, and the visitors ask for that."""
    fault = TABLE["Valkey killed"]
    with home(tmp_path) as (app, _, queue):
        killer = Killer(lambda: os.killpg(queue.process.pid, signal.SIGKILL), BEGINS_S)
        said = send(app.base + "/api/health", plan(fault, RULES), tmp_path / "log", RULES, progress=killer)
    check(said, fault, killer.killed_at)


def test_no_traffic_is_no_health(tmp_path: Path) -> None:
    """Three visitors and then nobody, on a platform that is well."""
    fault, three = TABLE["no traffic"], tmp_path / "three.csv"
    three.write_text("0.0\n0.1\n0.2\n")
    with platform() as server:
        quiet = plan(fault, RULES, shape="replay", replay=str(three))
        said = send(server.url, quiet, tmp_path / "log", RULES)
    check(said, fault, server.began)
    assert len(said.frame) == 3


def test_a_lost_worker_leaves_the_verdict_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL to one process of two while the platform is well."""
    fault = TABLE["a lost worker"]
    monkeypatch.setattr(driver, "SILENT_AFTER_S", 4.0)
    killer = Killer(lambda: kill_one_worker(tmp_path), BEGINS_S)
    with platform() as server:
        said = send(server.url, plan(fault, RULES, workers=2), tmp_path, RULES, progress=killer)
    check(said, fault, killer.killed_at)
    assert "killed or lost" in said.frame.attrs["truncated"]


def test_a_generator_that_cannot_keep_up_neither_blames_nor_praises(tmp_path: Path) -> None:
    """Each visitor holds up the others for 60 ms, and 25 a second are due: the platform answers at once."""
    fault = TABLE["a saturated generator"]
    with platform() as server:
        said = send(server.url, plan(fault, RULES), tmp_path, RULES, locustfile=HERE / "busy_visitors.py")
    check(said, fault, server.began + BEGINS_S)
