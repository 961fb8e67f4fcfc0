"""The PDF reports: what lies where, copied and compared by content."""

from cutover.objects.actions import CopyObjects
from cutover.objects.compare import compare
from cutover.objects.copy import CopyResult, copy
from cutover.objects.inventory import Entry, Inventory, inventory

__all__ = ["CopyObjects", "CopyResult", "Entry", "Inventory", "compare", "copy", "inventory"]
