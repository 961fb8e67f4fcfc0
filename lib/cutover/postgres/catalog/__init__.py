"""The catalog: what two databases are made of, compared in both directions."""

from cutover.postgres.catalog.compare import compare_catalogs
from cutover.postgres.catalog.differences import CatalogDifference, differences_between
from cutover.postgres.catalog.expected import Expected
from cutover.postgres.catalog.left_out import Restored
from cutover.postgres.catalog.model import Catalog, CatalogObject
from cutover.postgres.catalog.printed import printed_by
from cutover.postgres.catalog.read import read_catalog, read_catalog_in
from cutover.postgres.catalog.role_map import ROLE_MAP, RoleMap, role_map

__all__ = [
    "ROLE_MAP",
    "Catalog",
    "CatalogDifference",
    "CatalogObject",
    "Expected",
    "Restored",
    "RoleMap",
    "compare_catalogs",
    "differences_between",
    "printed_by",
    "read_catalog",
    "read_catalog_in",
    "role_map",
]
