"""The command `cutover`: thin, every command one call into the house."""

from cutover.cli.entry import _joined, main
from cutover.cli.root import app

__all__ = ["_joined", "app", "main"]
