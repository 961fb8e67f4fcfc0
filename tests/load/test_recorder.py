"""What is written is what is read: whole, while it grows, and after a kill at any byte."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cutover.errors import LoadError
from cutover.load import COLUMNS, LogReader, Recorder, read_log
from cutover.load.audit import Beat, audit

ABOUT = {"workers": 1, "warm_up_s": 2.0, "arrivals_per_s": 10.0}


def _write(folder: Path, name: str = "worker-1", **about: object) -> Recorder:
    return Recorder(folder / f"{name}.arrows", ABOUT | about)


def test_a_request_comes_back_as_it_was_recorded(tmp_path: Path) -> None:
    """Times to the last bit, endpoint, outcome, status and bytes."""
    recorder = _write(tmp_path)
    recorder.done(recorder.sent(1.1, 1.2, "GET /"), 1.3, "ok", 200, 17)
    recorder.done(recorder.sent(2.1, 2.2, "POST /api/reports"), 2.3, "http_5xx", 503, 4)
    recorder.never_sent(3.5, "GET /")
    recorder.close("complete")
    frame = read_log(tmp_path)
    assert list(frame.columns) == list(COLUMNS)
    first = frame.iloc[0]
    assert (first.due_s, first.sent_s, first.done_s) == (1.1, 1.2, 1.3)
    assert (first.endpoint, first.outcome, first.status, first.bytes, first.worker) == (
        "GET /",
        "ok",
        200,
        17,
        "worker-1",
    )
    assert list(frame.outcome) == ["ok", "http_5xx", "never_sent"]
    assert np.isnan(frame.sent_s[2])
    assert frame.attrs["truncated"] == ""


def test_a_request_in_flight_is_seen_at_the_flush_and_once_when_it_is_done(tmp_path: Path) -> None:
    """A watcher sees what hangs; the finished log does not count it twice."""
    recorder = _write(tmp_path)
    reader = LogReader(tmp_path)
    seq = recorder.sent(5.0, 5.5, "GET /")
    for _ in range(3):
        recorder.flush()
        reader.poll()
        frame = reader.frame()
        assert list(frame.outcome) == ["in_flight"]
        assert (frame.due_s[0], frame.sent_s[0]) == (5.0, 5.5)
        assert np.isnan(frame.done_s[0])
    recorder.done(seq, 9.0, "timeout", 0, 0)
    recorder.close("complete")
    reader.poll()
    for frame in (reader.frame(), read_log(tmp_path)):
        assert list(frame.outcome) == ["timeout"]
        assert list(frame.done_s) == [9.0]


def test_what_is_in_flight_at_the_end_stays_in_the_log(tmp_path: Path) -> None:
    """The requests that Locust itself forgets at the end of a run."""
    recorder = _write(tmp_path)
    recorder.sent(5.0, 5.5, "GET /")
    recorder.close("stopped")
    frame = read_log(tmp_path)
    assert list(frame.outcome) == ["in_flight"]
    assert frame.attrs["truncated"] == ""


def test_silence_is_written_too(tmp_path: Path) -> None:
    """An empty flush moves the moment up to which the log is complete."""
    recorder = _write(tmp_path)
    reader = LogReader(tmp_path)
    recorder.flush()
    reader.poll()
    first = reader.frame().attrs["at"]
    recorder.flush()
    reader.poll()
    assert reader.frame().attrs["at"] > first
    assert not reader.ended
    recorder.close("complete")
    reader.poll()
    assert reader.ended


def test_a_log_cut_anywhere_reads_up_to_its_last_whole_batch(tmp_path: Path) -> None:
    """Killed in the middle of a write: what was flushed before is there, and the log says that it is cut."""
    recorder = _write(tmp_path)
    path = tmp_path / "worker-1.arrows"
    sizes = [path.stat().st_size]
    for batch in range(3):
        for number in range(batch + 1):
            recorder.done(recorder.sent(batch, batch, f"GET /{number}"), batch + 0.5, "ok", 200, 1)
        recorder.flush()
        sizes.append(path.stat().st_size)
    recorder.close("complete")
    whole = path.read_bytes()
    rows = [0, 1, 3, 6]
    borders = {size + near for size in sizes for near in range(-2, 3) if size + near > 0}
    for cut in sorted({*range(1, len(whole) - 8, 13), *borders}):
        (tmp_path / "cut").mkdir(exist_ok=True)
        copy = tmp_path / "cut" / "worker-1.arrows"
        copy.write_bytes(whole[:cut])
        complete = sum(1 for size in sizes[1:] if size <= cut)
        try:
            frame = read_log(copy)
        except LoadError:
            assert cut < sizes[1], "a log with a whole batch must be readable"
            continue
        ended = len(frame) == 6 and not frame.attrs["truncated"]
        assert len(frame) == rows[complete]
        assert frame.attrs["truncated"] or ended
        if cut <= sizes[3]:
            assert frame.attrs["truncated"], f"cut at {cut} of {len(whole)} reads like a finished log"
    assert not read_log(path).attrs["truncated"]


def test_a_log_that_grows_byte_by_byte_reads_as_in_one_go(tmp_path: Path) -> None:
    """A watcher that looks in the middle of a write loses nothing and counts nothing twice."""
    recorder = _write(tmp_path)
    seq = 0
    for number in range(4):
        seq = recorder.sent(number, number, "GET /")
        if number % 2:
            recorder.done(seq, number + 1, "ok", 200, 1)
        recorder.flush()
    recorder.done(seq - 1, 9.0, "ok", 200, 1)
    recorder.close("complete")
    whole = (tmp_path / "worker-1.arrows").read_bytes()
    growing = tmp_path / "growing"
    growing.mkdir()
    reader = LogReader(growing)
    with (growing / "worker-1.arrows").open("wb", buffering=0) as file:
        for start in range(0, len(whole), 7):
            file.write(whole[start : start + 7])
            reader.poll()
    assert reader.frame(final=True).equals(read_log(tmp_path))
    assert reader.ended


def test_two_processes_cannot_write_one_log(tmp_path: Path) -> None:
    """The second is refused instead of both being spoilt."""
    _write(tmp_path)
    with pytest.raises(FileExistsError):
        _write(tmp_path)


def test_the_logs_of_several_workers_are_merged_by_due_time(tmp_path: Path) -> None:
    """And the warm-up ends when the last worker's does."""
    recorders = [_write(tmp_path, f"worker-{n}", workers=2) for n in (1, 2)]
    for number in range(6):
        recorder = recorders[number % 2]
        recorder.done(recorder.sent(number, number, "GET /"), number + 0.1, "ok", 200, 1)
    for recorder in recorders:
        recorder.close("complete")
    frame = read_log(tmp_path)
    assert list(frame.due_s) == [0, 1, 2, 3, 4, 5]
    assert set(frame.worker) == {"worker-1", "worker-2"}
    assert frame.attrs["workers"] == 2
    assert frame.attrs["warm_up_until"] == pytest.approx(frame.attrs["started"] + 2.0, abs=1)


def test_a_worker_that_left_no_log_is_missed(tmp_path: Path) -> None:
    """One of two is not the whole truth."""
    _write(tmp_path, workers=2).close("complete")
    assert "1 of 2 workers" in read_log(tmp_path).attrs["truncated"]


def test_a_live_log_is_complete_only_as_far_as_its_slowest_worker(tmp_path: Path) -> None:
    """What a worker has not written yet is not silence."""
    slow, fast = (_write(tmp_path, name, workers=2) for name in ("worker-slow", "worker-fast"))
    reader = LogReader(tmp_path)
    slow.flush()
    reader.poll()
    then = reader.frame().attrs["at"]
    fast.flush()
    fast.flush()
    reader.poll()
    assert reader.frame().attrs["at"] <= then
    assert reader.alive_at <= then


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a log at all", b"\xff" * 5000])
def test_what_is_no_log_is_refused(tmp_path: Path, content: bytes) -> None:
    """With a word on what to give instead."""
    path = tmp_path / "some.arrows"
    path.write_bytes(content)
    with pytest.raises(LoadError, match=r"no load log|not a load log"):
        read_log(path)


def test_an_arrow_stream_of_something_else_is_refused(tmp_path: Path) -> None:
    """Right format, wrong content."""
    path = tmp_path / "other.arrows"
    schema = pa.schema([("a", pa.int64())], metadata={"cutover": json.dumps({"worker": "x"})})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema):
        pass
    with pytest.raises(LoadError, match="not a load log"):
        read_log(path)


@pytest.mark.parametrize("name", ["nothing", "nothing/worker-1.arrows"])
def test_a_log_that_is_not_there_is_an_error(tmp_path: Path, name: str) -> None:
    """Not an empty frame, which would be judged."""
    with pytest.raises(LoadError):
        read_log(tmp_path / name)


def test_the_generators_own_delay_is_in_the_log(tmp_path: Path) -> None:
    """From due to sent, at the 99th of a hundred; what the process says of itself stands beside it."""
    recorder = Recorder(tmp_path / "worker-1.arrows", ABOUT)
    for number in range(50):
        recorder.done(recorder.sent(number, number + 0.2, "GET /"), number + 1, "ok", 200, 1)
    recorder.lag_s = 0.7
    recorder.flush()
    recorder.flush()
    recorder.close("complete")
    said = read_log(tmp_path).attrs["generator"]
    assert said["send_delay_p99_s"] == pytest.approx(0.2)
    assert said["rss_bytes"] > 1_000_000
    assert said["files"] >= 3
    assert said["lag_max_s"] in (0.0, 0.7)  # the first beat holds the start and is left out
    assert said["frozen"] == []


def test_a_process_that_stood_still_is_noticed() -> None:
    """It flushes twice a second; once it did not for four seconds."""
    beats = [Beat(k / 2, k / 2 + 0.5, 0.0, 0.1, 0.0, 1, 1) for k in range(10)] + [Beat(5, 9, 0.0, 0.1, 3.5, 1, 1)]
    said = audit(read_empty(), [beats])
    assert said["frozen"] == [[5, 9]]
    assert said["lag_max_s"] == 3.5


def read_empty() -> pd.DataFrame:
    """A log without a row."""
    return pd.DataFrame({name: [] for name in COLUMNS})


def test_the_horizon_ends_before_whoever_is_due_next(tmp_path: Path) -> None:
    """That one is not in the log yet; the stored log, looked at as it stood, must not show one more than was seen."""
    recorder = _write(tmp_path)
    recorder.next_due = 7.0
    recorder.flush()
    reader = LogReader(tmp_path)
    reader.poll()
    assert reader.frame().attrs["horizon"] < 7.0
    recorder.close("complete")


def test_nobody_is_behind_when_everybody_has_come(tmp_path: Path) -> None:
    """The last answers are waited for, however long they take: that is no delay of the generator's own."""
    recorder = _write(tmp_path)
    recorder.next_due = 7.0
    recorder.flush()
    assert _behind(tmp_path) > 1
    recorder.all_came = True
    seen = _behind(tmp_path)
    recorder.close("complete")
    assert _behind(tmp_path) == seen


def _behind(folder: Path) -> float:
    return float(read_log(folder).attrs["generator"]["behind_s"])
