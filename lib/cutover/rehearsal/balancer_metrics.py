"""An Application Load Balancer's metrics: counted by the rehearsal's balancer, published to CloudWatch every second."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cutover import aws_session

NAMESPACE = "AWS/ApplicationELB"


@dataclass(slots=True)
class Tally:
    """What happened since the last publication; filled by the proxy, emptied by the publisher."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: Counter[float] = field(default_factory=Counter)
    in_flight: int = 0
    healthy: int = 0
    unhealthy: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, seconds: float | None = None) -> None:
        """Count one event, and how long the target took, in seconds (kept to three digits, as values to count)."""
        with self.lock:
            self.counts[name] += 1
            if seconds is not None:
                self.seconds[float(f"{seconds:.3g}")] += 1

    def take(self) -> tuple[Counter[str], Counter[float]]:
        """What was counted, and start again from nothing."""
        with self.lock:
            taken = self.counts, self.seconds
            self.counts, self.seconds = Counter(), Counter()
            return taken


class Publisher(threading.Thread):
    """Publishes the tally every `interval_s` seconds, in its own thread; an emulator that is away costs nothing."""

    def __init__(
        self, tally: Tally, endpoint: str, load_balancer: str, target_group: str, *, interval_s: float, region: str
    ) -> None:
        super().__init__(name="publisher", daemon=True)
        self._tally, self._endpoint, self._load_balancer = tally, endpoint, load_balancer
        self._target_group = target_group
        self._interval_s, self._region = interval_s, region
        self._halt = threading.Event()
        self._client: Any = None

    def run(self) -> None:
        """Publish until stopped, and once more at the end."""
        while not self._halt.wait(self._interval_s):
            self._publish()
        self._publish()

    def stop(self) -> None:
        """Publish what is left and end."""
        self._halt.set()
        self.join(timeout=3)

    def _publish(self) -> None:
        counts, seconds = self._tally.take()
        data = self._data(counts, seconds)
        try:
            self._cloudwatch().put_metric_data(Namespace=NAMESPACE, MetricData=data)
        except Exception as error:
            print(f"publishing failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)

    def _data(self, counts: Counter[str], seconds: Counter[float]) -> list[dict[str, Any]]:
        now = datetime.now(UTC)
        dimensions = [{"Name": "LoadBalancer", "Value": self._load_balancer}]

        def datum(name: str, unit: str, **value: Any) -> dict[str, Any]:
            return {"MetricName": name, "Dimensions": dimensions, "Timestamp": now, "Unit": unit, **value}

        data = [datum(name, "Count", Value=float(count)) for name, count in counts.items()]
        ordered = sorted(seconds.items())
        for start in range(0, len(ordered), 150):  # PutMetricData takes at most 150 values for a metric
            part = ordered[start : start + 150]
            values, times = [v for v, _ in part], [float(c) for _, c in part]
            data.append(datum("TargetResponseTime", "Seconds", Values=values, Counts=times))
        data.append(datum("ActiveConnectionCount", "Count", Value=float(self._tally.in_flight)))
        if self._target_group:  # hosts are counted for each target group
            dimensions = [*dimensions, {"Name": "TargetGroup", "Value": self._target_group}]
        data.append(datum("HealthyHostCount", "Count", Value=float(self._tally.healthy)))
        data.append(datum("UnHealthyHostCount", "Count", Value=float(self._tally.unhealthy)))
        return data

    def _cloudwatch(self) -> Any:
        if self._client is None:
            self._client = aws_session.client(
                "cloudwatch", region=self._region, endpoint=self._endpoint, connect_s=1, read_s=3, attempts=1
            )
        return self._client
