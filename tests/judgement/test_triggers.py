"""The triggers over load logs: known answers at the edges, and laws that hold for every log."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import T0, cut, log, steady

from cutover.finding import Finding, Status, Verdict
from cutover.judgement import LoadWatch, judge_load, replay
from cutover.migration import EndpointTriggers, Triggers


def rules(
    *,
    rate: str = "5%",
    above: str = "3s",
    window: str = "10s",
    hold: str = "20s",
    stalled: str = "10s",
    least: int = 20,
) -> Triggers:
    """Triggers with one window and one hold for both."""
    return Triggers.model_validate(
        {
            "error_rate": {"above": rate, "window": window, "for": hold},
            "p95": {"above": above, "window": window, "for": hold},
            "stalled": {"in_flight": 20, "for": stalled},
            "min_samples": least,
        }
    )


def finding(frame: pd.DataFrame, identifier: str, triggers: Triggers | None = None) -> Finding:
    """One of the judge's findings."""
    found = {f.id: f for f in judge_load(frame, triggers or rules()).findings}
    return found[identifier]


def errors(seconds: float, share: float, per_s: float = 100, healthy_after: float = 0) -> pd.DataFrame:
    """A log in which of each hundred requests so many fail, evenly, and then all is well."""
    due = steady(seconds, per_s)
    number = np.arange(len(due))
    failed = np.floor((number + 1) * share) > np.floor(number * share)
    after = steady(healthy_after, per_s, start=seconds)
    outcome = [*np.where(failed, "http_5xx", "ok"), *["ok"] * len(after)]
    return log([*due, *after], 0.1, outcome)


def test_a_healthy_log_may_continue() -> None:
    """All three triggers judged, none fired."""
    judged = judge_load(log(steady(60)), rules())
    assert judged.verdict is Verdict.CONTINUE
    assert [f.id for f in judged.findings] == ["TRG-error-rate", "TRG-p95", "TRG-stalled"]
    assert all(f.trigger and f.status is Status.PASS for f in judged.findings)
    assert "CONTINUE" in judged.headline


# Error rate


@pytest.mark.parametrize(("share", "status"), [(0.049, "PASS"), (0.05, "PASS"), (0.051, "FAIL"), (1.0, "FAIL")])
def test_the_error_rate_must_be_above_the_threshold_not_at_it(share: float, status: str) -> None:
    """5 % exactly is allowed."""
    assert finding(errors(60, share), "TRG-error-rate").status == status


@pytest.mark.parametrize("percent", [7, 14, 28, 29, 55, 56, 57])
def test_a_threshold_that_binary_fractions_cannot_hold_is_exact_all_the_same(percent: int) -> None:
    """0.29 * 100 is less than 29: at the threshold must not be above it."""
    frame = log(np.tile(np.arange(100) / 100, 60) + np.repeat(np.arange(60), 100))
    frame["outcome"] = np.tile(["http_5xx"] * percent + ["ok"] * (100 - percent), 60)
    # Windows of a whole second hold each a hundred requests.
    triggers = rules(rate=f"{percent}%", window="1s", hold="2s")
    assert finding(frame, "TRG-error-rate", triggers).status == "PASS"
    assert finding(frame, "TRG-error-rate", rules(rate=f"{percent - 1}%", window="1s", hold="2s")).status == "FAIL"


@pytest.mark.parametrize(("seconds", "status"), [(29, "PASS"), (31, "FAIL")])
def test_the_breach_must_last_for_its_time(seconds: float, status: str) -> None:
    """Everything fails; a window of 10 s is above 5 % from 0.6 s after the beginning to 9.5 s after the end.

    So the breach lasts 9 s longer than the fault: with `for: 30s` 21 s of fault suffice, 19 s do not.
    """
    healthy = steady(20, 10)
    bad = steady(seconds - 10, 10, start=20)
    rest = steady(40, 10, start=20 + seconds - 10)
    outcome = ["ok"] * len(healthy) + ["http_5xx"] * len(bad) + ["ok"] * len(rest)
    frame = log([*healthy, *bad, *rest], 0.1, outcome)
    found = finding(frame, "TRG-error-rate", rules(hold="28s"))
    assert found.status == status
    if status == "FAIL":
        assert found.data["fired_at"] - found.data["began_at"] == pytest.approx(28)
        assert found.data["began_at"] == pytest.approx(T0 + 21, abs=1)


def test_a_second_of_health_does_not_hide_minutes_of_trouble() -> None:
    """Flapping: a good moment within a window leaves the window above the threshold."""
    due = steady(60, 20)
    outcome = np.where((due % 10) < 9, "http_5xx", "ok")
    assert judge_load(log(due, 0.1, list(outcome)), rules()).verdict is Verdict.ROLLBACK


def test_a_breach_still_open_at_the_end_is_not_health() -> None:
    """It has not fired; nobody may say CONTINUE."""
    healthy = steady(30)
    bad = steady(8, start=30)
    judged = judge_load(log([*healthy, *bad], 0.1, ["ok"] * len(healthy) + ["http_5xx"] * len(bad)), rules())
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "not yet long enough" in judged.headline


def test_silence_neither_heals_nor_counts() -> None:
    """Two bad stretches with nothing between are one: each alone would be too short."""
    bad = [*steady(16, 10), *steady(16, 10, start=60)]
    frame = log(bad, 0.1, "http_5xx", at=76)
    found = finding(frame, "TRG-error-rate", rules(hold="20s"))
    assert found.status == "FAIL"
    assert found.data["fired_at"] > T0 + 60
    good_between = log([*steady(16), *steady(30, start=16), *steady(16, start=60)], 0.1)
    good_between["outcome"] = ["http_5xx"] * 160 + ["ok"] * 300 + ["http_5xx"] * 160
    assert finding(good_between, "TRG-error-rate", rules(hold="25s")).status != "FAIL"


@pytest.mark.parametrize(("samples", "status"), [(19, "UNKNOWN"), (20, "FAIL")])
def test_a_window_with_too_few_requests_decides_nothing(samples: int, status: str) -> None:
    """19 failures in each window of 10 s are too few when 20 are asked for."""
    frame = log(steady(100, samples / 10), 0.1, "http_5xx", at=100)
    assert finding(frame, "TRG-error-rate", rules(least=20)).status == status


# p95


@pytest.mark.parametrize(
    ("took", "status"), [(2.98, "PASS"), (2.999, "PASS"), (3.0, "PASS"), (3.001, "FAIL"), (3.02, "FAIL")]
)
def test_p95_is_compared_exactly(took: float, status: str) -> None:
    """3.000 s does not exceed 3 s, and 3.001 s is not rounded down to it."""
    due = steady(60, 20)
    slow = np.where(np.arange(len(due)) % 10 == 0, took, 0.1)
    found = finding(log(due, slow, at=70), "TRG-p95")
    assert found.status == status
    if status == "FAIL":
        assert found.data["value"] == pytest.approx(took, abs=1e-6)


@pytest.mark.parametrize(
    ("every", "status"),
    [(100, "PASS"), (40, "PASS"), (20, "UNKNOWN"), (19, "UNKNOWN"), (12, "FAIL"), (10, "FAIL")],
)
def test_the_interval_of_p95_decides(every: int, status: str) -> None:
    """400 requests a window bound p95 by the 371st and the 389th: 10 slow ones are none, 33 a breach, 20 unsure."""
    due = steady(76, 40)
    slow = np.where(np.arange(len(due)) % every == 0, 5.0, 0.1)
    found = finding(log(due, slow, at=90, horizon=T0 + 76), "TRG-p95")
    assert found.status == status
    if status == "UNKNOWN":
        assert "too few requests in a window" in found.why


def test_a_window_in_which_nothing_is_slow_is_no_breach_however_few_requests_it_has() -> None:
    """Below 72 requests nothing bounds p95 from above; two slow ones in 40 then leave it open, none does not."""
    due = steady(76, 4)
    assert finding(log(due, 0.1, at=90, horizon=T0 + 76), "TRG-p95").status == "PASS"
    slow = np.where(np.arange(len(due)) % 20 == 0, 5.0, 0.1)
    assert finding(log(due, slow, at=90, horizon=T0 + 76), "TRG-p95").status == "UNKNOWN"


def test_slow_errors_count_as_slow() -> None:
    """A timeout after 30 s raises the percentile."""
    assert finding(log(steady(60), 30.0, "timeout", at=95), "TRG-p95").status == "FAIL"


LATE = {"send_delay_p99_s": 5.0, "cpu": 0.2}


def test_a_generator_that_sent_late_does_not_blame_the_platform() -> None:
    """Due to sent 5 s, sent to done 0.1 s: the answer was quick, the question was late."""
    frame = log(steady(60), 5.1, at=70, generator=LATE)
    assert finding(frame, "TRG-p95").status == "FAIL"
    frame["sent_s"] = frame["due_s"] + 5.0
    judged = judge_load(frame, rules())
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "left 5.00 s or more after it was due" in finding(frame, "LOAD-generator").observed


@pytest.mark.parametrize(
    "generator",
    [
        {"send_delay_p99_s": 0.31},
        {"behind_s": 0.5},
        {"lag_p99_s": 0.4},
        {"cpu": 0.91},
        {"frozen": [[T0 + 5, T0 + 8]]},
    ],
)
def test_a_generator_that_was_the_bottleneck_praises_nobody(generator: dict[str, object]) -> None:
    """All answers were fast, but the load was not what it should have been."""
    assert judge_load(log(steady(60), at=60, generator=generator), rules()).verdict is Verdict.INCONCLUSIVE


def test_a_generator_that_kept_up_is_not_mentioned() -> None:
    """Delays far below what could decide anything."""
    healthy = {"send_delay_p99_s": 0.2, "behind_s": 0.2, "lag_p99_s": 0.1, "lag_max_s": 0.5, "cpu": 0.6, "frozen": []}
    judged = judge_load(log(steady(60), at=60, generator=healthy), rules())
    assert judged.verdict is Verdict.CONTINUE
    assert "LOAD-generator" not in {f.id for f in judged.findings}


def test_answers_that_the_generator_noticed_late_are_not_the_platforms() -> None:
    """3.5 s from sent to done, of which the event loop may have slept 1 s."""
    frame = log(steady(60), 3.5, at=70, horizon=T0 + 60, generator={"cpu": 1.0, "lag_max_s": 1.0})
    assert finding(frame, "TRG-p95").status == "UNKNOWN"
    assert finding(log(steady(60), 4.5, at=70, generator={"cpu": 1.0, "lag_max_s": 1.0}), "TRG-p95").status == "FAIL"


def test_a_generator_that_stood_still_saw_no_stall() -> None:
    """Twelve seconds without an answer while nobody could have noticed one."""
    due = [*steady(20, 20), *steady(40, 20, start=32)]
    took = [0.1] * 360 + [13.0] * 40 + [0.1] * 800
    frame = log(due, took, at=75, horizon=T0 + 72)
    assert finding(frame, "TRG-stalled").status == "FAIL"
    frame.attrs["generator"] = {"frozen": [[T0 + 20, T0 + 32]]}
    assert finding(frame, "TRG-stalled").status == "PASS"
    assert judge_load(frame, rules()).verdict is not Verdict.ROLLBACK


# Stalled


def test_a_hang_fires_long_before_a_percentile_would() -> None:
    """Nothing comes back after 30 s: 2 s until twenty wait, then ten seconds."""
    due = steady(60)
    frame = log(due, np.where(due < 30, 0.05, np.inf), at=60)
    found = finding(frame, "TRG-stalled")
    assert found.status == "FAIL"
    assert found.data["fired_at"] == pytest.approx(T0 + 30 + 1.9 + 10, abs=0.2)


@pytest.mark.parametrize(("at", "status"), [(41.8, "UNKNOWN"), (42.0, "FAIL")])
def test_a_stall_fires_when_it_has_lasted_and_not_before(at: float, status: str) -> None:
    """The twentieth request that hangs is due at 31.9 s."""
    due = steady(60)
    frame = cut(log(due, np.where(due < 30, 0.05, np.inf), at=60), at)
    assert finding(frame, "TRG-stalled").status == status


def test_a_stall_that_ends_in_time_is_none() -> None:
    """Nine seconds without an answer, of ten."""
    due = steady(60)
    took = np.where((due >= 30) & (due < 39), 39.05 - due, 0.05)
    assert finding(log(due, took, at=61), "TRG-stalled").status == "PASS"


def test_a_stall_in_the_warm_up_counts() -> None:
    """A platform that hangs while it is warmed up hangs."""
    due = steady(60)
    took = np.where((due >= 3) & (due < 20), 20.05 - due, 0.05)
    frame = log(due, took, at=61, warm_up=30)
    assert finding(frame, "TRG-stalled").status == "FAIL"
    assert finding(frame, "TRG-p95").status == "PASS"


def test_timeouts_are_no_answers() -> None:
    """A client that gives up after a second must not make a hang look like traffic."""
    due = steady(60)
    frame = log(due, np.where(due < 20, 0.05, 1.0), ["ok"] * 200 + ["timeout"] * 400, at=61)
    assert finding(frame, "TRG-stalled").status == "FAIL"


def test_errors_are_answers() -> None:
    """A platform that refuses everything at once does not stall; its error rate says the rest."""
    frame = log(steady(60), 0.01, "connection")
    assert finding(frame, "TRG-stalled").status == "PASS"
    assert judge_load(frame, rules()).verdict is Verdict.ROLLBACK


def test_visitors_without_a_place_wait_too() -> None:
    """Ten requests hang, and for the others there was no place: that is a stall of more than twenty."""
    due = steady(60)
    outcome = ["ok"] * 300 + ["in_flight"] * 10 + ["never_sent"] * 290
    frame = log(due, [0.05] * 300 + [np.inf] * 10 + [0.0] * 290, outcome, at=60)
    assert finding(frame, "TRG-stalled").status == "FAIL"


def test_at_few_arrivals_fewer_need_to_wait() -> None:
    """At one request a second twenty never wait within ten seconds; ten do."""
    due = steady(90, 1)
    frame = log(due, np.where(due < 30, 0.05, np.inf), at=90)
    found = finding(frame, "TRG-stalled")
    assert found.data["needed"] == 10
    assert found.status == "FAIL"


def test_a_platform_that_hangs_from_the_start_is_rolled_back() -> None:
    """Not one answer: stalled."""
    assert judge_load(log(steady(30), np.inf, at=30), rules()).verdict is Verdict.ROLLBACK


# What cannot be known


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (log([]), "no window had enough requests"),
        (log(steady(60), warm_up=60), "no window had enough requests"),
        (log(steady(5)), "no window had enough requests"),
        (log(steady(60), truncated="worker-1.arrows has no end"), "has no end"),
        (log(steady(60), at=200), "too few requests"),
        (log([*steady(60), *steady(60, start=120)]), "too few requests"),
        (log(steady(300, 0.5)), "no window had enough requests"),
    ],
    ids=["empty", "all warm-up", "shorter than a window", "truncated", "silence at the end", "a gap", "a trickle"],
)
def test_no_data_is_never_continue(frame: pd.DataFrame, reason: str) -> None:
    """INCONCLUSIVE, and why."""
    judged = judge_load(frame, rules())
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert any(reason in f"{f.why} {f.observed}" for f in judged.findings)


def test_a_trigger_that_fired_before_the_log_was_cut_has_fired() -> None:
    """What was seen is not unseen by a killed worker."""
    judged = judge_load(log(steady(60), 0.1, "http_5xx", truncated="killed"), rules())
    assert judged.verdict is Verdict.ROLLBACK
    assert "LOAD-log" in {f.id for f in judged.findings}


def test_requests_that_wait_at_the_end_may_still_turn_out_slow() -> None:
    """All of the last ten seconds is in flight, younger than the threshold: undecided, not healthy."""
    due = steady(60, 100)
    frame = log(due, np.where(due < 58, 0.05, np.inf), at=60)
    assert finding(frame, "TRG-p95", rules(window="1s", hold="1s")).status == "UNKNOWN"
    assert finding(frame, "TRG-error-rate", rules(window="1s", hold="1s")).status == "UNKNOWN"


def test_what_waits_between_two_breaches_may_have_been_health() -> None:
    """Errors, then requests in flight, then errors: only if what waits fails too was it one long breach."""
    due = steady(60, 20)
    between = (due >= 20) & (due < 35)
    took = np.where(between, np.inf, 0.05)
    outcome = np.where(between, "in_flight", "http_5xx")
    triggers = rules(window="2s", hold="30s", stalled="60s")
    assert finding(log(due, took, list(outcome), at=60), "TRG-error-rate", triggers).status == "UNKNOWN"
    all_failed = log(due, 0.05, "http_5xx", at=60)
    assert finding(all_failed, "TRG-error-rate", triggers).status == "FAIL"


def test_the_warm_up_can_be_given() -> None:
    """A log without a note of it: the first 20 s are left out."""
    due = steady(60)
    frame = log(due, np.where(due < 15, 5.0, 0.1))
    del frame.attrs["warm_up_until"]
    assert judge_load(frame, rules(hold="10s")).verdict is Verdict.ROLLBACK
    assert judge_load(frame, rules(hold="10s"), warm_up=timedelta(seconds=20)).verdict is Verdict.CONTINUE


def test_one_endpoint_can_have_triggers_of_its_own() -> None:
    """One request in fifty fails and is slow: all together well below 5 %, the endpoint that does it is not."""
    due = steady(60, 100)
    ill = np.arange(len(due)) % 50 == 0
    frame = log(due, np.where(ill, 4.0, 0.1), list(np.where(ill, "http_5xx", "ok")), at=70, horizon=T0 + 60)
    frame["endpoint"] = np.where(ill, "POST /api/reports", "GET /")
    assert judge_load(frame, rules()).verdict is Verdict.CONTINUE
    own = {"error_rate": {"window": "10s", "for": "20s"}, "p95": {"window": "10s", "for": "20s"}}
    triggers = rules().model_copy(update={"per_endpoint": {"POST /api/reports": EndpointTriggers.model_validate(own)}})
    judged = judge_load(frame, triggers)
    assert judged.verdict is Verdict.ROLLBACK
    fired = {f.id: f for f in judged.findings if f.status is Status.FAIL}
    assert set(fired) == {"TRG-error-rate:POST /api/reports", "TRG-p95:POST /api/reports"}
    assert "at POST /api/reports" in fired["TRG-p95:POST /api/reports"].title


def test_an_endpoint_that_nobody_asked_for_is_not_well() -> None:
    """A mistyped name, or visitors who never got there: nothing looked at is never PASS."""
    own = EndpointTriggers.model_validate({"p95": {"window": "10s", "for": "20s"}})
    triggers = rules().model_copy(update={"per_endpoint": {"GET /nowhere": own}})
    assert judge_load(log(steady(60, 100), at=60), triggers).verdict is Verdict.INCONCLUSIVE


def test_a_finding_tells_when_it_began_when_it_fired_and_by_how_much() -> None:
    """What the report draws and the engineer reads."""
    found = finding(log(steady(60), 4.0, at=70), "TRG-p95")
    assert found.data["threshold"] == 3.0
    assert found.data["began_at"] == pytest.approx(T0 + 10)
    assert found.data["fired_at"] == pytest.approx(T0 + 30)
    assert "p95 4.000 s" in found.observed
    assert found.guide == 937
    assert "90_rollback_decision" in found.remedy


def test_the_watch_says_when_to_stop() -> None:
    """Asked each second of a growing log: False, until the stall has held."""
    due = steady(60)
    whole = log(due, np.where(due < 30, 0.05, np.inf), at=60)
    watch = LoadWatch(rules())
    said = [watch(cut(whole, at)) for at in range(1, 60)]
    assert said.index(True) == 41
    assert not any(said[:41])
    assert watch.judgement is not None


@pytest.mark.parametrize("ill", [0.05, 4.0, np.inf])
def test_a_stored_log_is_replayed_to_the_decisions_that_were_made_live(ill: float) -> None:
    """Up to the same watermarks: what waited then waits again, and later rows are not seen."""
    rng = np.random.default_rng(7)
    due = np.sort(rng.uniform(0, 60, 1500))
    whole = log(due, np.where(due < 30, rng.exponential(0.2, 1500), ill), at=60)
    watch = LoadWatch(rules(hold="12s", window="5s"))
    for at in range(1, 60):
        live = cut(whole, at)
        live.attrs["horizon"] = T0 + at - 0.4  # the slowest worker's last arrival
        watch(live)
    assert {d.verdict for d in watch.decisions} > ({Verdict.ROLLBACK} if ill > 3 else set())
    assert replay(whole.sample(frac=1, random_state=rng), watch.decisions, rules(hold="12s", window="5s")) == (
        watch.decisions
    )


def test_a_replay_knows_the_generator_as_it_was_then() -> None:
    """Live it was behind, and the platform was not blamed; the stored log does not blame it either."""
    frame = log(steady(60), 4.0, at=60)
    frame["sent_s"] = frame["due_s"] + 3.9
    frame.attrs["generator"] = {"behind_s": 3.9, "lag_max_s": 0.0}
    watch = LoadWatch(rules(hold="12s", window="5s"))
    assert not watch(frame)
    assert watch.decisions[0].verdict is Verdict.INCONCLUSIVE
    frame.attrs["generator"] = {}  # over the whole run it may be another
    assert replay(frame, watch.decisions, rules(hold="12s", window="5s")) == watch.decisions


# Laws


@st.composite
def logs(draw: st.DrawFn) -> pd.DataFrame:
    """A minute or less of any traffic."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    seconds, per_s = draw(st.integers(1, 60)), draw(st.sampled_from([0.5, 3, 20]))
    due = np.sort(rng.uniform(0, seconds, max(1, round(seconds * per_s))))
    took = rng.lognormal(draw(st.sampled_from([-2.0, 0.0, 1.1])), 1.0, len(due))
    outcome = rng.choice(["ok", "http_5xx", "timeout", "never_sent"], len(due), p=[0.9, 0.05, 0.03, 0.02])
    frame = log(due, took, list(outcome), at=float(seconds + draw(st.sampled_from([0, 1, 40]))))
    return cut(frame, float(frame.attrs["at"]) - T0)


quick = settings(max_examples=40, deadline=None)
short = rules(window="2s", hold="4s", stalled="3s", least=5)


def _said(frame: pd.DataFrame, triggers: Triggers = short) -> tuple[object, ...]:
    judged = judge_load(frame, triggers)
    return judged.verdict, [f.to_dict() for f in judged.findings], judged.windows.to_json()


@quick
@given(logs(), st.integers(0, 2**32 - 1))
def test_the_judgement_does_not_depend_on_the_order_of_rows(frame: pd.DataFrame, seed: int) -> None:
    """Nor on anything else: twice the same is the same."""
    shuffled = frame.sample(frac=1, random_state=np.random.default_rng(seed))
    shuffled.attrs.update(frame.attrs)
    assert _said(frame) == _said(shuffled) == _said(frame)


@quick
@given(logs(), st.floats(0.01, 0.99))
def test_a_log_judged_as_it_stood_is_the_log_cut_there(frame: pd.DataFrame, share: float) -> None:
    """A replay decides what the watch decided."""
    at = share * (float(frame.attrs["at"]) - T0)
    assert _said(cut(frame, at))[:2] == (
        judge_load(frame, short, at=T0 + at).verdict,
        [f.to_dict() for f in judge_load(frame, short, at=T0 + at).findings],
    )


@quick
@given(logs(), st.floats(0.01, 0.99))
def test_what_fired_live_has_fired_in_the_stored_log(frame: pd.DataFrame, share: float) -> None:
    """Error rate and p95 are lower bounds while the load runs: they only grow."""
    at = share * (float(frame.attrs["at"]) - T0)
    live = {f.id for f in judge_load(cut(frame, at), short).findings if f.status is Status.FAIL}
    stored = {f.id for f in judge_load(frame, short).findings if f.status is Status.FAIL}
    assert live - {"TRG-stalled"} <= stored


@quick
@given(logs(), st.floats(0, 1), st.floats(3.001, 100))
def test_one_more_slow_request_never_makes_p95_better(frame: pd.DataFrame, where: float, took: float) -> None:
    """Where it fired it still fires."""
    last = float(frame.due_s.max()) - T0
    extra = log([where * last], took, at=200)
    more = pd.concat([frame, extra], ignore_index=True)
    more.attrs.update(frame.attrs)
    more.attrs["at"] = max(float(frame.attrs["at"]), T0 + where * last + took)
    before, after = (finding(f, "TRG-p95", short).status for f in (frame, more))
    assert not (before is Status.FAIL and after is not Status.FAIL)


@quick
@given(st.integers(0, 2**32 - 1), st.floats(0, 30), st.sampled_from([2.0, 10.0, 60.0]))
def test_a_hang_always_ends_in_rollback(seed: int, hang: float, per_s: float) -> None:
    """Whenever it begins, at whatever rate: with arrivals going on for four holds, the stall fires."""
    rng = np.random.default_rng(seed)
    due = np.sort(rng.uniform(0, hang + 12, round((hang + 12) * per_s)))
    frame = log(due, np.where(due < hang, 0.01, np.inf), at=hang + 12)
    assert judge_load(frame, short).verdict is Verdict.ROLLBACK


@quick
@given(logs())
def test_without_enough_data_nothing_may_continue(frame: pd.DataFrame) -> None:
    """CONTINUE needs every trigger to have been judged."""
    judged = judge_load(frame, short)
    if judged.verdict is Verdict.CONTINUE:
        assert all(f.status is Status.PASS for f in judged.findings)
        assert all(f.data["decided"] > 0 for f in judged.findings if f.id != "TRG-stalled")
    assert judge_load(frame.iloc[:0], short).verdict is Verdict.INCONCLUSIVE
