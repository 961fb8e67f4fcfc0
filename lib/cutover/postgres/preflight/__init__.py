"""What must hold before a dump is taken, looked at a week early."""

from cutover.postgres.preflight.checks import preflight
from cutover.postgres.preflight.scratch import Scratch, ScratchRefused, scratch_catalog, scratch_restore

__all__ = ["Scratch", "ScratchRefused", "preflight", "scratch_catalog", "scratch_restore"]
