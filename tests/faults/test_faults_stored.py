"""Rows of the fault suite as logs with known answers: the recorder's own files, on a clock that the test sets.

Real load adds nothing to these. 2.98 s and 3.02 s lie 20 ms beside the threshold, which is less than a busy machine's
own delays; and flapping is played in the guide's own length, with the guide's own triggers, which takes more than
eight minutes by the clock. Every half second of it the file is read and judged as it is live.
"""

from __future__ import annotations

import heapq
from pathlib import Path

import pytest
from fault_platform import answer
from fault_runs import fired
from fault_table import DELAY_S, WARM_UP_S, Fault, begins_s, faults, triggers

from cutover.finding import Verdict
from cutover.judgement import LoadWatch, judge_load, replay
from cutover.load import LogReader, Recorder, read_log, recorder
from cutover.migration import Triggers

T0 = 1_800_000_000.0
TOOK_S, LOOK_S = 0.05, 0.5
QUICK = triggers(1.5, error_rate_for_s=3, p95_for_s=3)
GUIDE = Triggers()


@pytest.mark.parametrize(("name", "rules"), [("p95 of 3.02 s", QUICK), ("p95 of 2.98 s", QUICK), ("flapping", GUIDE)])
def test_the_edge_is_on_its_own_side_and_flapping_is_no_way_out(
    name: str, rules: Triggers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live and stored say the same; what fires does so within two seconds of the moment that its meaning allows."""
    fault = faults(rules)[name]
    watch = play(fault, rules, tmp_path, monkeypatch)
    frame = read_log(tmp_path)
    stored = judge_load(frame, rules)
    assert watch.judgement is not None
    assert watch.judgement.verdict is stored.verdict is fault.verdict, stored.headline
    assert replay(frame, watch.decisions, rules) == watch.decisions
    earliest = fault.earliest_s(rules)
    if earliest is None:
        assert Verdict.ROLLBACK not in {decision.verdict for decision in watch.decisions}
    else:
        assert fired(stored) == set(fault.findings)
        assert 0 <= watch.decisions[-1].at - T0 - begins_s(rules) - earliest <= DELAY_S


def test_a_good_spell_of_a_whole_window_ends_the_breach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other side of flapping: five minutes bad are not reached when a minute in between was well."""
    first, second = faults(GUIDE)["flapping"].phases
    later = type(second)("errors", first.end_s + 60, first.end_s + 300, every=10)
    well = Fault("well between", Verdict.CONTINUE, phases=(first, later), lasts_s=660)
    watch = play(well, GUIDE, tmp_path, monkeypatch)
    assert watch.judgement is not None
    assert watch.judgement.verdict is Verdict.CONTINUE, watch.judgement.headline


def play(fault: Fault, rules: Triggers, folder: Path, monkeypatch: pytest.MonkeyPatch) -> LoadWatch:
    """Write what the fault's platform would have answered, and judge it each half second until it fires.

    Long before it may fire it is judged each twenty seconds only: that is the same, and takes less time.
    """
    now = [T0]
    monkeypatch.setattr(recorder, "clock", lambda: now[0])
    monkeypatch.setattr("time.process_time", lambda: 0.0)  # the share of a core is one of real time
    log = Recorder(folder / "worker-1.arrows", {"workers": 1, "warm_up_s": WARM_UP_S, "arrivals_per_s": fault.per_s})
    reader, watch = LogReader(folder), LoadWatch(rules)
    under_way: list[tuple[float, int, bool]] = []
    number, looks, end_s = 0, 0, fault.seconds(rules)
    close_s = begins_s(rules) + (fault.earliest_s(rules) or end_s) - 10
    while now[0] < T0 + end_s or under_way:
        now[0] += LOOK_S
        looks += 1
        while (due := T0 + number / fault.per_s) <= now[0] and due < T0 + end_s:
            number += 1
            wait_s, fails = answer(fault.phases, due - T0, number)
            heapq.heappush(under_way, (due + (wait_s or TOOK_S), log.sent(due, due, "GET the page"), fails))
        while under_way and under_way[0][0] <= now[0]:
            done, seq, fails = heapq.heappop(under_way)
            log.done(seq, done, "http_5xx" if fails else "ok", 500 if fails else 200, 2)
        log.next_due, log.all_came = T0 + number / fault.per_s, T0 + number / fault.per_s >= T0 + end_s
        log.flush()
        reader.poll()
        if (now[0] - T0 > close_s or looks % 40 == 0) and watch(reader.frame()):
            break
    log.close("complete")
    return watch
