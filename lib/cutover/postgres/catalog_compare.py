"""The comparison of catalogs under its former name."""

from cutover.postgres.catalog import Expected, compare_catalogs, differences_between

__all__ = ["Expected", "compare_catalogs", "differences_between"]
