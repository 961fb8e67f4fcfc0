"""How long a condition has held: the one meaning of `for` in all triggers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Held:
    """What a series of looks says of a condition that must hold for a while.

    Attributes:
        fired_at: epoch seconds at which it had held long enough for the first time; None if it never did.
        began_at: epoch seconds of the first breach of the stretch that fired, or of the one that is open at the end.
        longest_s: the longest time for which it held.
        open: the last look that decided anything was a breach, and it has not fired.
        decided: looks that decided something.
        silence_s: the longest time without such a look.
    """

    fired_at: float | None
    began_at: float | None
    longest_s: float
    open: bool
    decided: int
    silence_s: float


def hold(
    times: Sequence[float], breaches: Sequence[bool | None], hold_s: float, *, step_s: float | None = None
) -> Held:
    """Whether a breach lasted for `hold_s`.

    A look that is no breach ends the stretch. A look that could not decide (None: too few samples, no data) neither
    ends it nor counts: silence is not health, and it is not sickness either.

    Args:
        times: epoch seconds of the looks, ascending.
        breaches: what each look gave.
        hold_s: how long the stretch must last, from its first breach to its last; 0 fires at the first.
        step_s: the looks are evenly spaced, and each breach after the first adds this; None takes the time between
            the breaches (probes that come when they come).
    """
    fired_at = began_at = None
    held = longest = silence = silent = 0.0
    decided = 0
    bad = False
    previous = last_bad = times[0] if len(times) else 0.0
    for time, breach in zip(times, breaches, strict=True):
        silent += step_s if step_s is not None else time - previous
        previous = time
        silence = max(silence, silent) if breach is None else silence
        if breach is None:
            continue
        silent = 0.0
        decided += 1
        if not breach:
            bad, held = False, 0.0
            began_at = began_at if fired_at is not None else None
            continue
        if bad:
            held += step_s if step_s is not None else time - last_bad
        elif fired_at is None:
            began_at = time
        bad, last_bad = True, time
        longest = max(longest, held)
        # Sums of steps carry rounding of a few units in the last place; a microsecond is below every clock here.
        if fired_at is None and held >= hold_s - 1e-6:
            fired_at = time
    return Held(fired_at, began_at, longest, bad and fired_at is None, decided, silence)
