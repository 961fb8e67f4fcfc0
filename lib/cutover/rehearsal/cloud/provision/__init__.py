"""The guide's architecture, built through the APIs as the corrected guide's commands would have built it."""

from cutover.rehearsal.cloud.provision.build import provision
from cutover.rehearsal.cloud.provision.plan import Plan

__all__ = ["Plan", "provision"]
