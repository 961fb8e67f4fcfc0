"""Looks at the running application from outside: health contract, critical flows, maintenance mode, its DNS name."""

from cutover.app.exchange import Reply, Unreachable, fetch
from cutover.app.flows import FlowResult, check_critical_flows, run_critical_flows
from cutover.app.health import Health, check_health, probe_health
from cutover.app.maintenance import MaintenanceMode, check_maintenance
from cutover.app.names import DnsAnswer, check_dns, resolve_name

__all__ = [
    "DnsAnswer",
    "FlowResult",
    "Health",
    "MaintenanceMode",
    "Reply",
    "Unreachable",
    "check_critical_flows",
    "check_dns",
    "check_health",
    "check_maintenance",
    "fetch",
    "probe_health",
    "resolve_name",
    "run_critical_flows",
]
