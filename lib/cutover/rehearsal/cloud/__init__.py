"""The AWS account of the rehearsal: moto, what it lacks, faults on request, and the guide's architecture in it."""

from cutover.rehearsal.cloud.server import Cloud

__all__ = ["Cloud"]
