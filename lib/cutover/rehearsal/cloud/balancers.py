"""Load balancing as moto lacks it: targets told apart by address and port, and a file to follow.

`FOLDER/targets.json` holds what the 443 listener forwards to, whenever that changes:

    [{"host": "127.1.2.21", "port": 5000, "target_group": "shadowtwin-tg", "weight": 1}]
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from moto.elbv2.exceptions import InvalidTargetError
from moto.elbv2.models import FakeHealthStatus, FakeTargetGroup, elbv2_backends
from moto.elbv2.responses import ELBV2Response

from cutover.files import write_json
from cutover.rehearsal.cloud.extension import extend

_lock = threading.Lock()
_file: Path | None = None
_written: list[dict[str, Any]] | None = None
_CHANGING = (
    "create_listener",
    "delete_listener",
    "modify_listener",
    "register_targets",
    "deregister_targets",
    "delete_target_group",
    "delete_load_balancer",
)


def install(state: Path) -> None:
    """Give moto's balancers these methods and keep `state/targets.json`."""
    global _file, _written
    first = _file is None
    _file, _written = state / "targets.json", None
    if first:
        extend(FakeTargetGroup, TargetGroup)
        for name in _CHANGING:
            setattr(ELBV2Response, name, _telling(getattr(ELBV2Response, name)))
    changed()


def changed() -> None:
    """Write the file again if what it says is no longer so."""
    global _written  # noqa: PLW0603
    if _file is None:
        return
    with _lock:
        now = forwarded()
        if now != _written:
            write_json(_file, now)
            _written = now


def forwarded() -> list[dict[str, Any]]:
    """The targets behind every 443 listener: the scheduler registers what is healthy, and takes out what is not."""
    found: list[dict[str, Any]] = []
    for _, regions in list(elbv2_backends.items()):
        for backend in list(regions.values()):
            for balancer in list(backend.load_balancers.values()):
                for listener in list(balancer.listeners.values()):
                    if int(listener.port) == 443:
                        found += _targets(backend, listener)
    return found


def _targets(backend: Any, listener: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for action in listener.default_actions:
        data = action.data if hasattr(action, "data") else action
        if data.get("Type", data.get("type")) != "forward":
            continue
        groups = (data.get("ForwardConfig") or {}).get("TargetGroups") or [
            {"TargetGroupArn": data.get("TargetGroupArn")}
        ]
        for entry in groups:
            group = backend.target_groups.get(entry.get("TargetGroupArn"))
            weight = int(entry.get("Weight", 1))
            if group is None or weight == 0:
                continue
            found += [
                {"host": t["Id"], "port": int(t["Port"]), "target_group": group.name, "weight": weight}
                for t in group.targets.values()
            ]
    return found


def _telling(method: Any) -> Any:
    """`method`, followed by a look at whether the file still holds."""

    def wrapped(self: Any) -> Any:
        answer = method(self)
        changed()
        return answer

    wrapped.__name__ = method.__name__
    return wrapped


class TargetGroup:
    """Set on moto's `FakeTargetGroup`, which knows a target by its address alone."""

    targets: dict[str, dict[str, Any]]
    deregistered_targets: dict[str, dict[str, Any]]
    port: Any
    health_check_port: Any
    ec2_backend: Any

    def register(self, targets: list[dict[str, Any]]) -> None:
        """RegisterTargets."""
        for target in targets:
            port = int(target.get("Port") or self.port)
            key = f"{target['Id']}:{port}"
            self.targets[key] = {"Id": target["Id"], "Port": port}
            self.deregistered_targets.pop(key, None)

    def deregister(self, targets: list[dict[str, Any]]) -> None:
        """DeregisterTargets: without a port, every port of the address."""
        for target in targets:
            keys = [
                key
                for key, known in self.targets.items()
                if known["Id"] == target["Id"] and target.get("Port") in (None, known["Port"], str(known["Port"]))
            ]
            if not keys:
                raise InvalidTargetError()
            for key in keys:
                self.deregistered_targets[key] = self.targets.pop(key)

    def health_for(self, target: dict[str, Any], ec2_backend: Any) -> FakeHealthStatus:
        """DescribeTargetHealth for one target."""
        port = int(target.get("Port") or self.port)
        key = f"{target['Id']}:{port}"
        if key not in self.targets:
            reason = ("unused", "Target.NotRegistered", "Target is not registered to the target group")
            return FakeHealthStatus(target["Id"], str(port), self.health_check_port, *reason)
        return FakeHealthStatus(target["Id"], str(port), self.health_check_port, "healthy")
