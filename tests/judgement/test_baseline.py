"""A run beside an earlier one: worse, no worse, or not enough to say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from logs import log, steady

from cutover.finding import Finding, Status
from cutover.judgement import judge_baseline
from cutover.migration import CompareTo

RULE = CompareTo.model_validate({"run": "earlier", "p95": "10%", "error_rate": "1%"})


def run(seed: int, *, slower: float = 1.0, failing: float = 0.0, requests: int = 20_000) -> pd.DataFrame:
    """A run of lognormal answers, so many times slower, of which a share fails."""
    rng = np.random.default_rng(seed)
    took = slower * rng.lognormal(-1.5, 0.5, requests)
    outcome = np.where(rng.random(requests) < failing, "http_5xx", "ok")
    return log(steady(requests / 100, 100), took, list(outcome))


def judge(now: pd.DataFrame, then: pd.DataFrame) -> dict[str, Finding]:
    """The two findings by id."""
    return {f.id: f for f in judge_baseline(now, then, RULE)}


@pytest.mark.parametrize(("slower", "status"), [(0.8, "PASS"), (1.0, "PASS"), (1.1, "UNKNOWN"), (1.25, "FAIL")])
def test_p95_may_be_so_much_higher_and_no_more(slower: float, status: str) -> None:
    """10 % are allowed; exactly 10 % more cannot be told from allowed, and nobody claims to."""
    found = judge(run(1, slower=slower), run(2))["BASE-p95"]
    assert found.status == status
    assert "95 % confidence" in found.observed


@pytest.mark.parametrize(
    ("now", "then", "status"), [(0.0, 0.0, "PASS"), (0.002, 0.0, "PASS"), (0.03, 0.001, "FAIL"), (0.031, 0.03, "PASS")]
)
def test_the_error_rate_may_be_so_many_points_higher(now: float, then: float, status: str) -> None:
    """One percentage point is allowed."""
    assert judge(run(1, failing=now), run(2, failing=then))["BASE-error-rate"].status == status


def test_too_few_requests_are_no_pass() -> None:
    """Fifty requests bound no p95."""
    found = judge(run(1, requests=50), run(2))["BASE-p95"]
    assert found.status is Status.UNKNOWN
    assert "too few" in found.why


def test_an_empty_run_is_no_pass() -> None:
    """Nothing looked at."""
    assert {f.status for f in judge(run(1).iloc[:0], run(2)).values()} == {Status.UNKNOWN}


def test_the_stated_confidence_holds() -> None:
    """Truly worse by exactly what is allowed: at most one in forty of such runs is called no worse."""
    calls = [judge(run(2 * k, slower=1.1, requests=2_000), run(2 * k + 1, requests=2_000)) for k in range(400)]
    wrong = sum(found["BASE-p95"].status is Status.PASS for found in calls)
    assert wrong <= 400 * 0.025 + 3 * (400 * 0.025 * 0.975) ** 0.5
