"""The tables of the notebooks: with declared columns, so that a table of nothing is shown like any other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd


def tabulate(
    rows: Iterable[Mapping[str, Any] | Sequence[Any]], columns: Sequence[str], *, indexed: bool = True
) -> pd.DataFrame:
    """A table of these columns; without rows it has them all the same.

    Args:
        rows: mappings by column, or values in the columns' order.
        columns: all of them.
        indexed: the first one is the index.
    """
    table = pd.DataFrame(list(rows), columns=list(columns))
    return table.set_index(columns[0]) if indexed else table


def columns_of(rows: Iterable[Mapping[str, Any]], first: str | None = None) -> list[str]:
    """The columns of rows that are not known beforehand, in the order in which they come; `first` leads."""
    return list(dict.fromkeys([*([first] if first else []), *(key for row in rows for key in row)]))
