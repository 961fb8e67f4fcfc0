"""CloudWatch's arithmetic: statistics and percentiles over samples with counts, and metric math over series.

Pure functions; the emulator's CloudWatch is built on them.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Series = dict[int, float]
"""Values by the start of their period, Unix seconds."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one PutMetricData entry holds: distinct values with their counts, or a statistic set.

    Attributes:
        at: Unix seconds.
        values: with `counts`, how often each was seen.
        low, high, total, count: the same, summed up; the only thing known of a statistic set.
    """

    at: float
    values: tuple[float, ...]
    counts: tuple[float, ...]
    low: float
    high: float
    total: float
    count: float

    @classmethod
    def of(cls, at: float, values: Sequence[float], counts: Sequence[float]) -> Sample:
        """A sample of single values."""
        total = math.fsum(v * c for v, c in zip(values, counts, strict=True))
        return cls(at, tuple(values), tuple(counts), min(values), max(values), total, math.fsum(counts))


def statistic(samples: Sequence[Sample], name: str) -> float | None:
    """One statistic over the samples of one period; None when it cannot be told.

    Args:
        samples: at least one.
        name: Sum, Average, Minimum, Maximum, SampleCount, p0 … p100 (`p99.9`), or `tm…`, which is not supported.
    """
    count = math.fsum(s.count for s in samples)
    if name == "SampleCount":
        return count
    if not samples or count == 0:
        return None
    if name == "Sum":
        return math.fsum(s.total for s in samples)
    if name == "Average":
        return math.fsum(s.total for s in samples) / count
    if name == "Minimum":
        return min(s.low for s in samples)
    if name == "Maximum":
        return max(s.high for s in samples)
    if re.fullmatch(r"p\d{1,2}(\.\d+)?|p100", name):
        return _percentile_of(samples, float(name[1:]))
    raise ValueError(f"The statistic {name} is not supported.")


def _percentile_of(samples: Sequence[Sample], percent: float) -> float | None:
    """A statistic set has no percentiles, unless it is one value only (the API's documentation of percentiles)."""
    if any(not s.values and s.low != s.high for s in samples):
        return None
    pairs = [(v, c) for s in samples for v, c in zip(s.values or (s.low,), s.counts or (s.count,), strict=True)]
    return percentile(pairs, percent)


def percentile(pairs: Sequence[tuple[float, float]], percent: float) -> float:
    """Linear interpolation between the closest ranks: p95 of 1…100 is 95.05.

    Args:
        pairs: values with counts, in any order; the counts' sum is at least 1.
        percent: 0 to 100.
    """
    ordered = sorted(pairs)
    rank = (math.fsum(c for _, c in ordered) - 1) * percent / 100
    below, share = math.floor(rank), rank - math.floor(rank)
    first = _at(ordered, below)
    return first if share == 0 else first + (_at(ordered, below + 1) - first) * share


def _at(ordered: Sequence[tuple[float, float]], index: int) -> float:
    seen = 0.0
    for value, count in ordered:
        seen += count
        if index < seen:
            return value
    return ordered[-1][0]


def by_period(samples: Sequence[Sample], name: str, *, start: float, end: float, period: int) -> Series:
    """One statistic for each period of [start, end) that has data; periods begin at multiples of `period`.

    Args:
        samples: of one metric.
        name: as for `statistic`.
        start, end: Unix seconds.
        period: seconds.
    """
    buckets: dict[int, list[Sample]] = {}
    for sample in samples:
        if start <= sample.at < end:
            buckets.setdefault(int(sample.at // period) * period, []).append(sample)
    series = {at: statistic(bucket, name) for at, bucket in sorted(buckets.items())}
    return {at: value for at, value in series.items() if value is not None}


_BINARY: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}

_SINGLE: dict[str, Callable[[float], float]] = {"ABS": abs, "CEIL": math.ceil, "FLOOR": math.floor}
_OVERALL: dict[str, Callable[[Sequence[float]], float]] = {
    "SUM": math.fsum,
    "AVG": lambda values: math.fsum(values) / len(values),
    "MIN": min,
    "MAX": max,
}


def evaluate(expression: str, series: Mapping[str, Series], *, periods: Sequence[int] = ()) -> Series:
    """Metric math: + - * / ^, comparisons, FILL, IF, ABS, CEIL, FLOOR, SUM, AVG, MIN, MAX over ids.

    A period in which one operand has no value has no result; so has a division by zero (as on AWS).

    Args:
        expression: as CloudWatch takes it, `100*errors/FILL(requests,0)`.
        series: the other queries' results by id.
        periods: the starts of all periods, for `FILL`; those of any series when left out.

    Raises:
        ValueError: it cannot be parsed, names an unknown id, or uses what is not supported.
    """
    all_periods = sorted(periods or {at for one in series.values() for at in one})
    try:
        tree = ast.parse(expression.strip().replace("^", "**"), mode="eval").body
        result = _evaluate(tree, series, all_periods)
    except (SyntaxError, RecursionError) as error:
        raise ValueError(f"Error in expression '{expression}': {error}") from error
    if isinstance(result, dict):
        return result
    return {at: float(result) for at in all_periods}


def _evaluate(node: ast.AST, series: Mapping[str, Series], periods: Sequence[int]) -> Series | float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.Name):
        if node.id not in series:
            raise ValueError(f"The metric id {node.id} is not defined.")
        return series[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _zip(operator.sub, 0.0, _evaluate(node.operand, series, periods))
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        left, right = (_evaluate(side, series, periods) for side in (node.left, node.right))
        return _zip(_BINARY[type(node.op)], left, right)
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _BINARY:
        left, right = (_evaluate(side, series, periods) for side in (node.left, node.comparators[0]))
        return _zip(lambda a, b: float(_BINARY[type(node.ops[0])](a, b)), left, right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _function(node.func.id.upper(), node.args, series, periods)
    raise ValueError(f"The expression uses what is not supported: {ast.unparse(node)}")


def _function(
    name: str, nodes: Sequence[ast.expr], series: Mapping[str, Series], periods: Sequence[int]
) -> Series | float:
    if name == "FILL" and len(nodes) == 2:
        filled = _evaluate(nodes[0], series, periods)
        if isinstance(nodes[1], ast.Name) and nodes[1].id in {"REPEAT", "LINEAR"}:
            raise ValueError(f"FILL(…, {nodes[1].id}) is not supported.")
        value = _evaluate(nodes[1], series, periods)
        if not isinstance(filled, dict) or isinstance(value, dict):
            raise ValueError("FILL takes a series and a number.")
        return {at: filled.get(at, value) for at in periods}
    values = [_evaluate(node, series, periods) for node in nodes]
    if name == "IF" and len(values) in (2, 3):
        condition, then, otherwise = (*values, float("nan"))[:3]
        chosen = {
            at: (_value(then, at) if picked else _value(otherwise, at))
            for at in periods
            if (picked := _value(condition, at)) is not None
        }
        return {at: v for at, v in chosen.items() if v is not None and not math.isnan(v)}
    if name in _SINGLE and len(values) == 1:
        return _zip(lambda a, _: float(_SINGLE[name](a)), values[0], 0.0)
    if name in _OVERALL and len(values) == 1 and isinstance(values[0], dict):
        found = list(values[0].values())
        return float(_OVERALL[name](found)) if found else {}
    raise ValueError(f"The function {name} is not supported.")


def _value(operand: Series | float, at: int) -> float | None:
    return operand.get(at) if isinstance(operand, dict) else operand


def _zip(work: Callable[[float, float], float], left: Series | float, right: Series | float) -> Series | float:
    if not isinstance(left, dict) and not isinstance(right, dict):
        return work(left, right)
    common = set(left) if isinstance(left, dict) else set(right) if isinstance(right, dict) else set()
    if isinstance(left, dict) and isinstance(right, dict):
        common &= set(right)
    result: Series = {}
    for at in sorted(common):
        a, b = _value(left, at), _value(right, at)
        if a is None or b is None:
            continue
        try:
            result[at] = float(work(a, b))
        except (ZeroDivisionError, OverflowError):
            continue
    return result
