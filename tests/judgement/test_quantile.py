"""The interval of a quantile by order statistics: known ranks, and coverage over simulated runs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cutover.judgement.quantile import interval, ranks, surely_above, surely_not_above

MODELS = {
    "lognormal": (lambda rng, n: rng.lognormal(0, 1.2, n), math.exp(1.2 * 1.6448536269514722)),
    "heavy-tailed": (lambda rng, n: rng.pareto(1.1, n), 0.05 ** (-1 / 1.1) - 1),
    # One in ten comes from the slow half, uniform on [3, 5]: p95 is the slow half's median.
    "bimodal": (lambda rng, n: np.where(rng.random(n) < 0.1, rng.uniform(3, 5, n), rng.uniform(0, 1, n)), 4.0),
}
"""Samples of a service, and its true p95."""


@pytest.mark.parametrize(
    ("count", "lower", "upper"),
    [(0, 0, 1), (1, 0, 2), (20, 17, 21), (71, 63, 72), (72, 64, 72), (200, 184, 197), (1000, 936, 964)],
)
def test_the_ranks_are_the_known_ones(count: int, lower: int, upper: int) -> None:
    """Below 72 samples nothing bounds p95 from above: 0.95 ** 71 is more than 2.5 %, 0.95 ** 72 is less."""
    assert ranks(count) == (lower, upper)


@pytest.mark.parametrize("count", [20, 199, 201, 5_000, 600_000])
def test_each_bound_fails_with_at_most_half_of_what_is_left(count: int) -> None:
    """The exact binomial tails, by another way: sums of logarithms from the other end."""
    lower, upper = ranks(count)

    def chance(k: int) -> float:
        choose = math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        return math.exp(choose + k * math.log(0.95) + (count - k) * math.log(0.05))

    reach = 12 * math.ceil(math.sqrt(count * 0.05))
    below = math.fsum(chance(k) for k in range(max(0, lower - reach), lower))
    above = math.fsum(chance(k) for k in range(upper, min(count, upper + reach) + 1))
    assert below <= 0.025 < below + chance(lower)
    assert above <= 0.025 < above + chance(upper - 1)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("count", [100, 600])
def test_the_interval_covers_the_true_p95_in_95_of_100_runs(model: str, count: int) -> None:
    """4,000 independent runs; three standard errors of what is counted are allowed."""
    draw, truth = MODELS[model]
    rng = np.random.default_rng(20_261_123)
    bounds = [interval(draw(rng, count)) for _ in range(4_000)]
    covered = np.mean([low <= truth <= high for low, high in bounds])
    assert covered >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 4_000)


def test_the_bounds_by_counting_are_those_by_sorting() -> None:
    """What the judge counts over many windows says the same as the ordered samples of each."""
    rng = np.random.default_rng(5)
    for _ in range(300):
        values = rng.exponential(1.0, rng.integers(1, 400))
        low, high = interval(values)
        over, count = np.array([(values > 3.0).sum()]), np.array([len(values)])
        assert surely_above(over, count)[0] == (low > 3.0)
        assert surely_not_above(over, count)[0] == (high <= 3.0)
