"""CloudWatch as moto lacks it: percentiles, metric math, short periods, alarm history and composite alarms."""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime
from typing import Any

from moto.cloudwatch.exceptions import InvalidParameterValue, ValidationError
from moto.cloudwatch.models import CloudWatchBackend, MetricDatum
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult, EmptyResult

from cutover.rehearsal.cloud.extension import extend
from cutover.rehearsal.cloud.metrics import Sample, Series, by_period, evaluate, statistic

_KEPT = 40_000
"""Samples kept of one metric: half a day of one a second; the oldest go first."""

Key = tuple[str, str, frozenset[tuple[str, str]]]

_lock = threading.Lock()
_moto_set_alarm_state = CloudWatchBackend.set_alarm_state
_moto_describe_alarms = CloudWatchResponse.describe_alarms
_moto_put_metric_alarm = CloudWatchResponse.put_metric_alarm


def install() -> None:
    """Give moto's CloudWatch these operations."""
    extend(CloudWatchBackend, Backend)
    extend(CloudWatchResponse, Responses)


def _key(namespace: str, name: str, dimensions: Any) -> Key:
    return namespace, name, frozenset((d["Name"], d["Value"]) for d in dimensions or ())


def _store(backend: Any) -> dict[Key, deque[Sample]]:
    if not hasattr(backend, "samples"):
        backend.samples = {}
    found: dict[Key, deque[Sample]] = backend.samples
    return found


def _series(backend: Any, key: Key) -> list[Sample]:
    with _lock:
        return list(_store(backend).get(key, ()))


def _instant(moment: Any) -> float:
    """Unix seconds of what a protocol's parser made of a timestamp; one without a zone is UTC."""
    if isinstance(moment, int | float):
        return float(moment)
    aware: datetime = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.timestamp()


class Backend:
    """Set on moto's `CloudWatchBackend`, which keeps an object for every single value and searches them all."""

    _validate_parameters_put_metric_data: Any
    metric_data: Any
    alarms: Any

    def put_metric_data(self: Any, namespace: str, metric_data: list[dict[str, Any]]) -> None:
        """PutMetricData: values with counts stay together; moto's list holds one entry a metric, for ListMetrics."""
        now = datetime.now(UTC).timestamp()
        for number, one in enumerate(metric_data, 1):
            self._validate_parameters_put_metric_data(one, number)
        for one in metric_data:
            at = _instant(one["Timestamp"]) if one.get("Timestamp") else now
            dimensions = list(one.get("Dimensions") or [])
            key = _key(namespace, one["MetricName"], dimensions)
            if one.get("Values"):
                values = [float(v) for v in one["Values"]]
                sample = Sample.of(at, values, [float(c) for c in one.get("Counts") or [1.0] * len(values)])
            elif one.get("StatisticValues"):
                s = {k: float(v) for k, v in one["StatisticValues"].items()}
                sample = Sample(at, (), (), s["Minimum"], s["Maximum"], s["Sum"], s["SampleCount"])
            else:
                sample = Sample.of(at, [float(one.get("Value", 0))], [1.0])
            with _lock:
                store = _store(self)
                if key not in store:
                    store[key] = deque(maxlen=_KEPT)
                    moment = datetime.fromtimestamp(at, UTC)
                    self.metric_data.append(
                        MetricDatum(namespace, one["MetricName"], sample.high, dimensions, moment, one.get("Unit"))
                    )
                store[key].append(sample)

    def get_metric_data(
        self: Any,
        queries: list[dict[str, Any]],
        start_time: Any,
        end_time: Any,
        scan_by: str = "TimestampAscending",
    ) -> list[dict[str, Any]]:
        """GetMetricData: statistics, percentiles and metric math."""
        start, end = _instant(start_time), _instant(end_time)
        if start >= end:
            raise ValidationError("The parameter StartTime must be less than the parameter EndTime.")
        known: dict[str, Series] = {}
        shortest = 60
        for query in queries:
            if "MetricStat" in query:
                asked = query["MetricStat"]
                period = int(asked["Period"])
                shortest = min(shortest, period)
                known[query["Id"]] = self._statistic_by_period(asked["Metric"], asked["Stat"], start, end, period)
        waiting = [q for q in queries if "Expression" in q]
        periods = range(int(start // shortest) * shortest, int(-(-end // shortest)) * shortest, shortest)
        for _ in range(len(waiting)):  # an expression may name another one, in any order
            for query in [q for q in waiting if q["Id"] not in known]:
                try:
                    known[query["Id"]] = evaluate(query["Expression"], known, periods=periods)
                except ValueError as error:
                    if "is not defined" not in str(error):
                        raise ValidationError(str(error)) from error
        missing = [q["Id"] for q in waiting if q["Id"] not in known]
        if missing:
            raise ValidationError(f"Error in expression '{missing[0]}': it names an id that is not in the request.")
        return [_result(q, known[q["Id"]], scan_by) for q in queries if q.get("ReturnData", True)]

    def _statistic_by_period(
        self: Any, metric: dict[str, Any], name: str, start: float, end: float, period: int
    ) -> Series:
        samples = _series(self, _key(metric["Namespace"], metric["MetricName"], metric.get("Dimensions")))
        try:
            return by_period(samples, name, start=start, end=end, period=period)
        except ValueError as error:
            raise ValidationError(str(error)) from error

    def set_alarm_state(self: Any, alarm_name: str, reason: str, reason_data: str, state_value: str) -> None:
        """SetAlarmState, written into the history."""
        before = self.alarms[alarm_name].state_value if alarm_name in self.alarms else ""
        _moto_set_alarm_state(self, alarm_name, reason, reason_data, state_value)
        if before != state_value:
            _remember(self, alarm_name, "StateUpdate", f"Alarm updated from {before} to {state_value}")


def _remember(backend: Any, name: str, kind: str, summary: str) -> None:
    if not hasattr(backend, "alarm_history"):
        backend.alarm_history = []
    item = {
        "AlarmName": name,
        "AlarmType": "MetricAlarm",
        "Timestamp": datetime.now(UTC),
        "HistoryItemType": kind,
        "HistorySummary": summary,
        "HistoryData": "{}",
    }
    backend.alarm_history.insert(0, item)


def _result(query: dict[str, Any], series: Series, scan_by: str) -> dict[str, Any]:
    stat = query.get("MetricStat")
    label = query.get("Label") or (f"{stat['Metric']['MetricName']} {stat['Stat']}" if stat else query["Id"])
    points = sorted(series.items(), reverse=scan_by != "TimestampAscending")
    return {
        "id": query["Id"],
        "label": label,
        "timestamps": [datetime.fromtimestamp(at, UTC) for at, _ in points],
        "values": [value for _, value in points],
        "status_code": "Complete",
    }


class Responses:
    """Set on moto's `CloudWatchResponse`."""

    _get_param: Any
    _get_params: Any
    cloudwatch_backend: Any

    def get_metric_statistics(self: Any) -> Any:
        """GetMetricStatistics, with ExtendedStatistics."""
        params = self._get_params()
        names, extended = params.get("Statistics") or [], params.get("ExtendedStatistics") or []
        if not names and not extended:
            raise InvalidParameterValue("Must specify either Statistics or ExtendedStatistics")
        start, end, period = _instant(params["StartTime"]), _instant(params["EndTime"]), int(params["Period"])
        if start >= end:
            raise InvalidParameterValue("The parameter StartTime must be less than the parameter EndTime.")
        samples = _series(
            self.cloudwatch_backend, _key(params["Namespace"], params["MetricName"], params.get("Dimensions"))
        )
        points = []
        for at in by_period(samples, "SampleCount", start=start, end=end, period=period):
            bucket = [s for s in samples if start <= s.at < end and int(s.at // period) * period == at]
            point: dict[str, Any] = {"Timestamp": datetime.fromtimestamp(at, UTC), "Unit": params.get("Unit", "None")}
            point |= {name: statistic(bucket, name) for name in names}
            found = {name: value for name in extended if (value := statistic(bucket, name)) is not None}
            points.append(point | ({"ExtendedStatistics": found} if found else {}))
        return ActionResult({"Label": params["MetricName"], "Datapoints": points})

    def describe_alarms(self: Any) -> Any:
        """DescribeAlarms: composite alarms only where `AlarmTypes` asks for them (API reference)."""
        asked = self._get_param("AlarmTypes", []) or ["MetricAlarm"]
        kinds = {"MetricAlarms": "MetricAlarm", "CompositeAlarms": "CompositeAlarm"}
        found: Any = _moto_describe_alarms(self).result
        return ActionResult({name: rows if kinds[name] in asked else [] for name, rows in found.items()})

    def put_metric_alarm(self: Any) -> Any:
        """PutMetricAlarm, written into the history."""
        answer = _moto_put_metric_alarm(self)
        name = self._get_param("AlarmName")
        _remember(self.cloudwatch_backend, name, "ConfigurationUpdate", f'Alarm "{name}" created')
        return answer

    def put_composite_alarm(self: Any) -> Any:
        """PutCompositeAlarm: kept and shown; its rule is not evaluated."""
        params = self._get_params()
        self.cloudwatch_backend.put_metric_alarm(
            name=params["AlarmName"],
            namespace=None,
            metric_name=None,
            comparison_operator=None,
            evaluation_periods=None,
            period=None,
            threshold=None,
            statistic=None,
            description=params.get("AlarmDescription"),
            dimensions=[],
            alarm_actions=params.get("AlarmActions", []),
            ok_actions=params.get("OKActions", []),
            insufficient_data_actions=params.get("InsufficientDataActions", []),
            actions_enabled=params.get("ActionsEnabled", True),
            rule=params["AlarmRule"],
            tags=params.get("Tags", []),
        )
        return EmptyResult()

    def describe_alarm_history(self: Any) -> Any:
        """DescribeAlarmHistory, newest first."""
        params = self._get_params()
        items = getattr(self.cloudwatch_backend, "alarm_history", [])
        found = [
            item
            for item in items
            if params.get("AlarmName") in (None, item["AlarmName"])
            and params.get("HistoryItemType") in (None, item["HistoryItemType"])
            and ("StartDate" not in params or item["Timestamp"].timestamp() >= _instant(params["StartDate"]))
            and ("EndDate" not in params or item["Timestamp"].timestamp() <= _instant(params["EndDate"]))
        ]
        return ActionResult({"AlarmHistoryItems": found[: int(params.get("MaxRecords") or 100)]})
