"""How long visitors' writes were refused, from their log; which notebooks make the day, by the way of the transfer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cutover.rehearsal.visitors import refusal
from cutover.step.phases import PHASES, REPLICATED_DAY, notebooks_of

OLD, NEW = "replit.shadowtwin.example", "shadowtwin-alb-1.us-east-1.elb.amazonaws.com"


def log(folder: Path, *visits: tuple[float, str, str, str]) -> Path:
    """A visitors' log of (sent, endpoint, outcome, home); each is answered a tenth of a second later."""
    lines = [
        {"due_s": at, "sent_s": at, "done_s": at + 0.1, "endpoint": endpoint, "outcome": outcome, "home": home}
        for at, endpoint, outcome, home in visits
    ]
    path = folder / "visitors.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_it_lasts_from_the_first_refused_write_to_the_first_accepted_one(tmp_path: Path) -> None:
    """Reads do not count, nor a refusal before which the source accepted another write."""
    path = log(
        tmp_path,
        (1.0, "create_twin", "http_5xx", OLD),
        (2.0, "create_twin", "ok", OLD),
        (3.0, "home", "http_5xx", OLD),
        (4.0, "create_twin", "http_5xx", OLD),
        (5.0, "report", "http_5xx", OLD),
        (6.0, "list_twins", "ok", NEW),
        (7.0, "create_twin", "ok", NEW),
    )
    found = refusal(path, "amazonaws")
    assert found is not None
    assert found.seconds == pytest.approx(3.1)
    assert found.refused == 2


def test_without_a_write_at_the_new_home_nothing_is_known(tmp_path: Path) -> None:
    """Not zero."""
    assert refusal(log(tmp_path, (1.0, "create_twin", "ok", OLD), (2.0, "home", "ok", NEW)), "amazonaws") is None


def test_a_refusal_between_two_writes_is_counted_from_the_last_accepted_one(tmp_path: Path) -> None:
    """So short that nobody wrote in it: no longer than this."""
    found = refusal(log(tmp_path, (1.0, "create_twin", "ok", OLD), (3.0, "create_twin", "ok", NEW)), "amazonaws")
    assert found is not None
    assert (round(found.seconds, 3), found.refused) == (2.1, 0)


def test_the_day_of_a_replicated_copy_deploys_before_it_moves() -> None:
    """The release waits on the target; the freeze and the switch are parts of notebook 12."""
    assert notebooks_of("day", "dump") == PHASES["day"]
    day = notebooks_of("day", "replicate")
    assert day == REPLICATED_DAY
    assert day.index("14_deploy") < day.index("12_data_migration") < day.index("15_dns_cutover")
    assert "11_write_freeze" not in day
    assert notebooks_of("13_data_integrity", "replicate") == ("13_data_integrity",)
