"""The one meaning of `for`."""

from __future__ import annotations

import pytest

from cutover.judgement import hold

BAD, GOOD, NOTHING = True, False, None


def _run(*looks: bool | None) -> list[float]:
    return [float(i) for i in range(len(looks))]


@pytest.mark.parametrize(
    ("looks", "hold_s", "fired"),
    [
        ([BAD] * 6, 5, 5.0),
        ([BAD] * 5, 5, None),
        ([BAD], 0, 0.0),
        ([GOOD, GOOD, BAD, BAD, BAD], 2, 4.0),
        ([BAD, BAD, GOOD, BAD, BAD], 2, None),
        ([BAD, BAD, NOTHING, NOTHING, BAD], 2, 4.0),
        ([BAD, NOTHING, NOTHING, NOTHING, NOTHING, BAD], 2, None),
        ([BAD, BAD, BAD, GOOD, GOOD], 2, 2.0),
        ([GOOD] * 9, 0, None),
        ([], 0, None),
    ],
)
def test_a_breach_fires_once_it_has_lasted(looks: list[bool | None], hold_s: float, fired: float | None) -> None:
    """A good look ends it, a look that saw nothing neither ends it nor counts."""
    assert hold(_run(*looks), looks, hold_s, step_s=1.0).fired_at == fired


def test_a_breach_that_is_not_over_is_open() -> None:
    """It may yet fire: nobody knows."""
    held = hold([0.0, 1.0, 2.0], [GOOD, BAD, BAD], 5, step_s=1.0)
    assert held.open
    assert held.began_at == 1.0
    assert not hold([0.0, 1.0, 2.0], [BAD, BAD, GOOD], 5, step_s=1.0).open


def test_the_longest_silence_is_measured() -> None:
    """Three looks in a row that saw nothing."""
    held = hold(_run(*[0] * 7), [GOOD, NOTHING, NOTHING, NOTHING, GOOD, NOTHING, GOOD], 5, step_s=1.0)
    assert held.silence_s == 3.0
    assert held.decided == 3


def test_probes_hold_from_the_first_failure_to_the_last() -> None:
    """They come when they come."""
    held = hold([0.0, 7.0, 31.0, 61.0], [GOOD, BAD, BAD, BAD], 54)
    assert (held.began_at, held.fired_at) == (7.0, 61.0)
    assert hold([0.0, 7.0, 31.0, 60.9], [GOOD, BAD, BAD, BAD], 54).fired_at is None
