"""Steps, gates, approvals, execution and evidence; and what the notebooks call by name.

What shows and explains is imported when it is first used: it needs pandas and matplotlib, which the runner and most
commands do without.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from cutover.runbook.approval import approve
from cutover.runbook.evidence import RunFolder
from cutover.runbook.execute import Event, RunResult, execute
from cutover.runbook.journal import Journal
from cutover.runbook.params import LoadedParams, from_dict, load_params, schema, show
from cutover.runbook.phases import PHASES, find_notebooks
from cutover.runbook.step import Step, begin

__all__ = [
    "PHASES",
    "Event",
    "Journal",
    "LoadedParams",
    "RunFolder",
    "RunResult",
    "Step",
    "approve",
    "begin",
    "execute",
    "find_notebooks",
    "from_dict",
    "load_params",
    "schema",
    "show",
]

_LATER = {
    "costing": (
        "check_cost",
        "cost_beside_guide",
        "cost_chart",
        "cost_lines",
        "last_load",
        "month",
        "real_size",
        "size_table",
    ),
    "decision": ("advice", "arguments", "decide", "fired", "fired_table", "remember_cutover", "written_since_cutover"),
    "freezing": (
        "check_frozen",
        "check_still_frozen",
        "compare_queues",
        "compare_reports",
        "fingerprint_of",
        "maintenance",
        "queues_change",
        "report_locations",
    ),
    "overview": (
        "check_forecast",
        "contacts_of",
        "drift",
        "forecast",
        "forecast_findings",
        "forecast_table",
        "lessons",
        "map_of",
        "plain",
        "planned_changes",
        "snapshot_name",
        "state_of",
        "table",
        "tally",
        "timings",
    ),
    "prerequisites": ("check_local_tools",),
    "loading": ("compare_load", "keep_load", "load_target", "load_workers", "staging_database"),
    "pictures": ("load_chart", "proof", "show_load", "tables_chart", "tables_sentence", "took", "watch_chart"),
    "progress": ("progress",),
    "transferring": (
        "check_flows",
        "check_followed",
        "check_ready",
        "check_refusal",
        "check_way",
        "compare_databases",
        "follow_change",
        "identity_change",
        "replicates",
        "reports_change",
        "transfer_change",
        "watch_lag",
    ),
    "ticking": ("architecture", "architecture_sentence", "checklist", "sign"),
    "ttl": ("check_ttl_lowered", "remember_ttl"),
    "watching": ("check_name", "check_public_name", "logins", "target", "target_url", "watch", "watch_sentence"),
}
_HOME = {name: home for home, names in _LATER.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    for other, home in _HOME.items():  # a module that is called as what it holds gives way to it
        if isinstance(globals().get(other), ModuleType) and f"{__name__}.{home}" in sys.modules:
            globals()[other] = getattr(sys.modules[f"{__name__}.{home}"], other)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
