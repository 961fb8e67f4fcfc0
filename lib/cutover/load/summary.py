"""Exact percentiles, and the table by endpoint."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

ERRORS = frozenset({"http_5xx", "http_4xx", "timeout", "connection", "check", "never_sent"})
"""Outcomes that count as errors; a 4xx too, because our own visitors only ask for what should be there."""


def nearest_rank(values: npt.ArrayLike, percent: int) -> float:
    """The smallest value that at least `percent` per cent of the values do not exceed; NaN of nothing.

    Exact: it is one of the values, neither interpolated nor rounded into a histogram's bucket (the definition R-1 of
    Hyndman and Fan 1996; numpy calls it `inverted_cdf`). Hence "p95 exceeds 3 s" and "more than one request in
    twenty took longer than 3 s" are the same statement, and a further slow request can never lower it.
    """
    array = np.asarray(values, dtype=np.float64)
    if not array.size:
        return float("nan")
    rank = -(-percent * array.size // 100)
    return float(np.partition(array, max(rank, 1) - 1)[max(rank, 1) - 1])


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each endpoint and one, `all`, for everything.

    Args:
        frame: as `read_log` gives it.

    Returns:
        Index `endpoint`; columns requests, errors, in_flight, never_sent; `response_p50_s` … `response_max_s` from
        the moment a request was due to its end, `service_p50_s` … `service_max_s` from the moment it was sent.
        Requests in flight count at their age at `attrs["at"]`, a lower bound.
    """
    at = float(frame.attrs.get("at", np.nanmax(frame[["due_s", "sent_s", "done_s"]].to_numpy(), initial=0.0)))
    groups = [(str(name), part) for name, part in frame.groupby("endpoint", sort=True, observed=True)]
    rows = [_row(name, part, at) for name, part in [*groups, ("all", frame)]]
    return pd.DataFrame(rows).set_index("endpoint")


def _row(name: str, part: pd.DataFrame, at: float) -> dict[str, float | int | str]:
    sent = part[part["sent_s"].notna()]
    done = sent["done_s"].fillna(at)
    response, service = (done - sent["due_s"]).to_numpy(), (done - sent["sent_s"]).to_numpy()
    row: dict[str, float | int | str] = {
        "endpoint": name,
        "requests": len(part),
        "errors": int(part["outcome"].isin(ERRORS).sum()),
        "in_flight": int((part["outcome"] == "in_flight").sum()),
        "never_sent": int((part["outcome"] == "never_sent").sum()),
    }
    for kind, values in (("response", response), ("service", service)):
        row |= {f"{kind}_p50_s": nearest_rank(values, 50), f"{kind}_p95_s": nearest_rank(values, 95)}
        row[f"{kind}_max_s"] = nearest_rank(values, 100)
    return row
