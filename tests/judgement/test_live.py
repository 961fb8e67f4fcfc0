"""The triggers over CloudWatch's windows and over probes."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from cutover.finding import Finding, Status, Verdict
from cutover.judgement import Judgement, judge_metrics
from cutover.migration import Triggers

T0 = datetime(2026, 11, 23, 12, 0, tzinfo=UTC).timestamp()
NAN = float("nan")
RULES = Triggers()


def metrics(minutes: int = 10, **columns: object) -> pd.DataFrame:
    """One row a minute of a healthy platform, with what the test changes."""
    index = pd.date_range(datetime.fromtimestamp(T0, UTC), periods=minutes, freq="60s", tz="UTC")
    healthy = {"requests": 1000.0, "errors": 0.0, "p95_s": 0.2, "in_flight": NAN, "unhealthy_hosts": 0.0}
    return pd.DataFrame(healthy | {"db_connections": 10.0} | columns, index=index)


def probes(seconds: float = 600, bad: tuple[float, float] = (-1, -1), name: str = "login") -> list[tuple]:
    """A flow probed every ten seconds, failing between two moments."""
    times = np.arange(0, seconds, 10)
    return [(T0 + t, not bad[0] <= t <= bad[1], name, 0.1, "503") for t in times]


def health(seconds: float = 600, bad: tuple[float, float] = (-1, -1), says: bool | None = False) -> list[tuple]:
    """The health endpoint every ten seconds; between two moments its database is `says`."""
    times = np.arange(0, seconds, 10)
    return [(T0 + t, True, says if bad[0] <= t <= bad[1] else True, "") for t in times]


def judge(
    frame: pd.DataFrame | None = None,
    flows: list[tuple] | None = None,
    checks: list[tuple] | None = None,
    *,
    at: float = 600,
) -> Judgement:
    """The judgement, healthy but for what is given."""
    return judge_metrics(
        metrics() if frame is None else frame,
        probes() if flows is None else flows,
        health() if checks is None else checks,
        RULES,
        at=T0 + at,
    )


def finding(judged: Judgement, identifier: str) -> Finding:
    """One of the findings."""
    return {f.id: f for f in judged.findings}[identifier]


def test_a_healthy_platform_may_continue() -> None:
    """Five triggers; the stall is left to the probes, because CloudWatch knows no requests in flight."""
    judged = judge()
    assert judged.verdict is Verdict.CONTINUE, judged.headline
    assert {f.id: str(f.status) for f in judged.findings} == {
        "TRG-error-rate": "PASS",
        "TRG-p95": "PASS",
        "TRG-stalled": "NOT_APPLICABLE",
        "TRG-critical-flows": "PASS",
        "TRG-database": "PASS",
        "LIVE-metrics": "UNKNOWN",
    }
    assert list(judged.windows.columns[:2]) == ["start", "arrivals"]


@pytest.mark.parametrize(("bad", "status"), [(4, "PASS"), (5, "FAIL")])
def test_the_error_rate_holds_in_whole_periods(bad: int, status: str) -> None:
    """Five minutes are five periods of a minute."""
    errors = [60.0] * bad + [0.0] * (10 - bad)
    judged = judge(metrics(errors=errors))
    assert finding(judged, "TRG-error-rate").status == status


@pytest.mark.parametrize(("errors", "status"), [(50.0, "PASS"), (51.0, "FAIL")])
def test_exactly_five_per_cent_is_not_above_it(errors: float, status: str) -> None:
    """50 of 1,000 are allowed."""
    assert finding(judge(metrics(errors=errors)), "TRG-error-rate").status == status


@pytest.mark.parametrize(("p95", "status"), [(3.0, "PASS"), (3.001, "FAIL")])
def test_p95_must_exceed_the_threshold(p95: float, status: str) -> None:
    """One minute of it is enough."""
    frame = metrics()
    frame.iloc[4, frame.columns.get_loc("p95_s")] = p95
    assert finding(judge(frame), "TRG-p95").status == status


def test_a_count_of_errors_that_was_not_published_is_none() -> None:
    """The load balancer publishes 5xx only when there were some; without requests nothing follows."""
    assert finding(judge(metrics(errors=NAN)), "TRG-error-rate").status == "PASS"
    assert finding(judge(metrics(errors=NAN, requests=NAN)), "TRG-error-rate").status == "UNKNOWN"


def test_an_open_breach_is_not_health() -> None:
    """The last three minutes fail: not yet five."""
    judged = judge(metrics(errors=[0.0] * 7 + [500.0] * 3))
    assert judged.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    "frame",
    [metrics(0), metrics(requests=NAN, p95_s=NAN), metrics(requests=3.0), pd.DataFrame()],
    ids=["no rows", "no data", "too few requests", "nothing at all"],
)
def test_missing_metrics_are_inconclusive(frame: pd.DataFrame) -> None:
    """However well the probes do."""
    judged = judge(frame)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert finding(judged, "TRG-p95").status == "UNKNOWN"


def test_metrics_that_stopped_are_inconclusive() -> None:
    """Points may be three minutes late; seven are a silence."""
    last = [1000.0] * 3 + [NAN] * 7
    assert judge(metrics(requests=last, p95_s=[0.2] * 3 + [NAN] * 7)).verdict is Verdict.INCONCLUSIVE
    assert judge(metrics(3)).verdict is Verdict.INCONCLUSIVE, "seven minutes that are not even in the table"
    late = [1000.0] * 7 + [NAN] * 3
    assert judge(metrics(requests=late, p95_s=[0.2] * 7 + [NAN] * 3)).verdict is Verdict.CONTINUE


def test_a_metric_that_begins_late_was_not_silent() -> None:
    """The first request comes with the cutover."""
    began = [NAN] * 5 + [1000.0] * 5
    assert judge(metrics(requests=began, p95_s=[NAN] * 5 + [0.2] * 5)).verdict is Verdict.CONTINUE


def test_a_period_that_is_not_over_is_not_judged() -> None:
    """Half a minute of a minute is not its value."""
    frame = metrics(errors=[0.0] * 9 + [1000.0])
    assert finding(judge(frame, at=590), "TRG-error-rate").status == "PASS"
    assert finding(judge(frame, at=600), "TRG-error-rate").status == "UNKNOWN"


def test_the_future_is_not_seen() -> None:
    """Judged as it was then, with what was known then."""
    flows = probes(bad=(300, 600))
    assert finding(judge(flows=flows, at=290), "TRG-critical-flows").status == "PASS"
    assert finding(judge(flows=flows), "TRG-critical-flows").status == "FAIL"


@pytest.mark.parametrize(("last", "status"), [(350, "PASS"), (360, "FAIL")])
def test_a_critical_flow_must_fail_for_a_minute(last: float, status: str) -> None:
    """From its first failure to its last."""
    found = finding(judge(flows=probes(bad=(300, last))), "TRG-critical-flows")
    assert found.status == status
    if status == "FAIL":
        assert found.data["fired_at"] == T0 + 360
        assert "503" in found.observed


def test_one_broken_flow_among_many_is_enough() -> None:
    """And it is named; two flows that fail by turns are not one that fails for long."""
    flows = [*probes(name="login"), *probes(name="report", bad=(200, 600))]
    found = finding(judge(flows=flows), "TRG-critical-flows")
    assert found.status == "FAIL"
    assert found.data["subject"] == "report"
    turns = [*probes(name="login", bad=(200, 230)), *probes(name="report", bad=(240, 270))]
    assert finding(judge(flows=turns), "TRG-critical-flows").status == "PASS"


@pytest.mark.parametrize(("last", "status"), [(320, "PASS"), (330, "FAIL")])
def test_a_database_that_is_unreachable_fires(last: float, status: str) -> None:
    """For thirty seconds."""
    assert finding(judge(checks=health(bad=(300, last))), "TRG-database").status == status


def test_a_health_endpoint_that_says_nothing_of_the_database_is_unknown() -> None:
    """Neither reachable nor unreachable."""
    assert finding(judge(checks=health(bad=(0, 600), says=None)), "TRG-database").status == "UNKNOWN"
    assert finding(judge(checks=health(bad=(500, 600), says=None)), "TRG-database").status == "UNKNOWN"


@pytest.mark.parametrize("which", ["flows", "checks"])
def test_probes_that_were_not_made_are_unknown(which: str) -> None:
    """No probe at all, and none for the last five minutes."""
    made = {"flows": probes, "checks": health}[which]
    identifier = {"flows": "TRG-critical-flows", "checks": "TRG-database"}[which]
    for seen in ([], made(300)):
        judged = judge(**{which: seen})
        assert judged.verdict is Verdict.INCONCLUSIVE
        assert finding(judged, identifier).status == "UNKNOWN"


def test_a_trigger_that_fired_outweighs_what_is_unknown() -> None:
    """No metrics, but the sign-in is broken: ROLLBACK."""
    assert judge(metrics(0), probes(bad=(0, 600)), []).verdict is Verdict.ROLLBACK


@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ({"requests": 0.0, "in_flight": 50.0}, "FAIL"),
        ({"requests": 0.0, "in_flight": 3.0}, "PASS"),
        ({"requests": NAN, "unhealthy_hosts": 2.0}, "FAIL"),
        ({"in_flight": 50.0}, "PASS"),
    ],
)
def test_a_stall_shows_in_metrics_where_they_know_it(columns: dict[str, float], status: str) -> None:
    """Nothing completes while requests wait, or while targets are unhealthy."""
    assert finding(judge(metrics(**columns)), "TRG-stalled").status == status


def test_without_probes_a_hang_cannot_be_seen() -> None:
    """CloudWatch's silence about requests in flight is not health."""
    assert finding(judge(flows=[]), "TRG-stalled").status == "UNKNOWN"


def test_a_number_that_has_not_come_yet_is_no_stall() -> None:
    """CloudWatch is minutes late: connections without a request count in the newest period are no hang yet."""
    late = metrics(requests=[1000.0] * 9 + [NAN], in_flight=[5.0] * 9 + [60.0])
    assert finding(judge(late), "TRG-stalled").status != "FAIL"
    silent = metrics(requests=[1000.0] * 4 + [NAN] * 6, in_flight=[5.0] * 4 + [60.0] * 6)
    assert finding(judge(silent), "TRG-stalled").status == "FAIL"


def test_times_may_be_datetimes_and_rows_in_any_order() -> None:
    """The judgement is the same."""
    flows = [(datetime.fromtimestamp(p[0], UTC), *p[1:]) for p in reversed(probes(bad=(300, 400)))]
    shuffled = metrics().sample(frac=1, random_state=1)
    other = judge_metrics(shuffled, flows, health()[::-1], RULES, at=datetime.fromtimestamp(T0 + 600, UTC))
    same = judge(flows=probes(bad=(300, 400)))
    assert [f.to_dict() for f in other.findings] == [f.to_dict() for f in same.findings]
    assert other.verdict is Verdict.ROLLBACK


def test_every_finding_is_a_trigger() -> None:
    """So that a failing one is ROLLBACK, not NO_GO; but for what was out of sight, which closes no gate."""
    *triggers, sight = judge().findings
    assert all(f.trigger and f.severity == "blocker" for f in triggers)
    assert Status.FAIL not in {f.status for f in judge().findings}
    assert not sight.trigger
    assert not sight.closes_gate


def test_what_cloudwatch_did_not_tell_is_said() -> None:
    """By name, beside what it never knows."""
    told = {"healthy_hosts": 2.0, "cpu": 40.0, "memory": 50.0, "tasks": 2.0}
    assert finding(judge(metrics(**told)), "LIVE-metrics").status == "PASS"
    sight = finding(judge(metrics(**told, db_connections=NAN)), "LIVE-metrics")
    assert sight.status == "UNKNOWN"
    assert sight.data["unseen"] == ["connections of the database"]
    assert "requests in flight" in sight.why


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        ({"unhealthy_hosts": 2.0, "healthy_hosts": 0.0}, "FAIL"),
        ({"unhealthy_hosts": NAN, "healthy_hosts": 0.0}, "FAIL"),
        ({"unhealthy_hosts": 0.0, "healthy_hosts": 2.0}, "PASS"),
    ],
    ids=["unhealthy", "none registered", "healthy"],
)
def test_no_data_while_no_target_is_healthy_is_a_breach(hosts: dict[str, float], status: str) -> None:
    """Silence with healthy targets is a quiet night, and undecided; without them it is a stall."""
    silent = [1000.0] * 4 + [NAN] * 6
    judged = judge(metrics(requests=silent, p95_s=[0.2] * 4 + [NAN] * 6, **hosts))
    found = finding(judged, "TRG-stalled")
    assert (found.status == "FAIL") is (status == "FAIL")
    assert judged.verdict is (Verdict.ROLLBACK if status == "FAIL" else Verdict.INCONCLUSIVE)


def test_the_findings_tell_the_diagnosis_what_it_asks() -> None:
    """Whose errors, which flows, what the health body said, how many targets."""
    checks = {"database": "healthy", "redis": "unhealthy"}
    judged = judge(
        metrics(errors=400.0, target_errors=300.0, balancer_errors=100.0, unhealthy_hosts=1.0, healthy_hosts=1.0),
        [*probes(), *probes(name="report", bad=(0, 600))],
        [(*probe, checks) for probe in health()],
    )
    assert finding(judged, "TRG-error-rate").data["classes"] == {"target_5xx": 3000, "balancer_5xx": 1000}
    assert finding(judged, "TRG-critical-flows").data["flows"] == {"login": True, "report": False}
    assert finding(judged, "TRG-database").data["checks"] == checks
    assert finding(judged, "TRG-stalled").data["healthy_hosts"] == 1
