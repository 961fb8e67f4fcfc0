"""Remedies that work: the blueprint's commands that make what is missing and fix what is wrong, in order."""

from cutover.aws.remedy.known import Known
from cutover.aws.remedy.script import Script, fill, runnable, script

__all__ = ["Known", "Script", "fill", "runnable", "script"]
