"""Judgement: from what was seen to CONTINUE, ROLLBACK or INCONCLUSIVE, and which way back. No clock, no network."""

from cutover.judgement.baseline import judge_baseline
from cutover.judgement.diagnosis import MATRIX, RULES, Argument, Diagnosis, diagnose
from cutover.judgement.hold import Held, hold
from cutover.judgement.live import judge_metrics
from cutover.judgement.symptoms import Looks
from cutover.judgement.triggers import Decision, LoadWatch, judge_load, replay
from cutover.judgement.verdict import Judgement, apply_waivers
from cutover.judgement.windows import windows

__all__ = [
    "MATRIX",
    "RULES",
    "Argument",
    "Decision",
    "Diagnosis",
    "Held",
    "Judgement",
    "LoadWatch",
    "Looks",
    "apply_waivers",
    "diagnose",
    "hold",
    "judge_baseline",
    "judge_load",
    "judge_metrics",
    "replay",
    "windows",
]
