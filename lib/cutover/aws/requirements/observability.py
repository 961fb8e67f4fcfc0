"""What people look at: the dashboard, the logs, and whether there is anything in them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Self

from cutover.aws.requirements.answers import Ask, NotThere, Unreadable, parse_moment
from cutover.aws.requirements.requirement import (
    BLOCKER,
    DAY,
    FAIL,
    HIGH,
    LOW,
    MEDIUM,
    Outcome,
    at_least,
    at_most,
    holds,
    judged,
    requirement,
)
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.expectations import LogsExpectation


class Dashboard(View):
    """The dashboard."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By name."""
        name = stack.expect.alarms.dashboard
        return Ask(
            "cloudwatch",
            "get_dashboard",
            {"DashboardName": name},
            f"dashboard {name}",
            name=name,
        )

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """Its widgets."""
        whole = super().read(stack)
        try:
            body = json.loads(str(whole.get("DashboardBody") or "{}"))
        except ValueError as error:
            raise Unreadable(f"the body of dashboard {whole.subject} is no JSON", evidence=whole.evidence) from error
        return cls({"body": body}, whole.subject, whole)

    @property
    def metrics(self) -> list[tuple[str, str, dict[str, str]]]:
        """Namespace, name and dimensions of every metric that is drawn; `.` repeats what stands above."""
        found: list[tuple[str, str, dict[str, str]]] = []
        for widget in self.get("body.widgets") or []:
            above: list[str] = []
            for row in (widget.get("properties") or {}).get("metrics") or []:
                words = [str(w) for w in row if isinstance(w, str)]
                words = [above[i] if w == "." and i < len(above) else w for i, w in enumerate(words)]
                if len(words) >= 2:
                    above = words
                    found.append((words[0], words[1], dict(zip(words[2::2], words[3::2], strict=False))))
        return found


@requirement("DSH-01", title="The dashboard shows tasks, database, balancer and queue", severity=MEDIUM, guide=581)
def dashboard(board: Dashboard) -> Outcome:
    """On the day, everyone looks at one page."""
    drawn = {namespace for namespace, _, _ in board.metrics}
    lacking = [n for n in ("AWS/ECS", "AWS/RDS", "AWS/ApplicationELB", "AWS/ElastiCache") if n not in drawn]
    return judged(not lacking, expected="all four", observed=f"lacks {', '.join(lacking)}" if lacking else "all four")


class Published(View):
    """The metrics that the dashboard's namespaces have published of late, by namespace."""

    needs = (Dashboard,)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """One listing for each namespace that is drawn."""
        board = stack.view(Dashboard)
        answers = {
            n: stack.need("cloudwatch", "list_metrics", Namespace=n) for n in sorted({m[0] for m in board.metrics})
        }
        rows = {
            namespace: [
                {"name": m.get("MetricName"), "dimensions": {d["Name"]: d["Value"] for d in m.get("Dimensions") or []}}
                for m in answer.data.get("Metrics") or []
            ]
            for namespace, answer in answers.items()
        }
        return cls(rows, board.subject, board, *answers.values())

    def has(self, namespace: str, name: str, dimensions: dict[str, str]) -> bool:
        """Whether such a metric, with these dimensions and no others, has been published."""
        rows = self.data.get(namespace) or []
        return any(r["name"] == name and r["dimensions"] == dimensions for r in rows)


@requirement("DSH-02", title="Every metric of the dashboard exists", severity=MEDIUM, guide=583, due=DAY)
def dashboard_has_data(board: Dashboard, published: Published) -> Outcome:
    """An empty picture looks like a quiet system."""
    if not board.metrics:
        raise NotThere(f"{board.subject} draws no metric", evidence=board.evidence)
    names = {(n, r["name"]) for n in published.data for r in published.data[n]}
    empty = [f"{n} {m}" for n, m, _ in board.metrics if (n, m) not in names]
    return judged(
        not empty,
        expected="published in the last two weeks",
        observed=empty or f"{len(board.metrics)} metrics",
        remedy="\n".join(f"aws cloudwatch list-metrics --namespace {n.split()[0]}" for n in empty),
    )


@requirement("X-16", title="Every metric of the dashboard is this stack's", severity=MEDIUM, guide=583, due=DAY)
def dashboard_is_ours(board: Dashboard, published: Published) -> Outcome:
    """Right metric, another cluster: the picture is alive and tells of something else."""
    if not board.metrics:
        raise NotThere(f"{board.subject} draws no metric", evidence=board.evidence)
    strange = [f"{n} {m} {d}" for n, m, d in board.metrics if not published.has(n, m, d)]
    return judged(
        not strange,
        expected="each is published with exactly its dimensions",
        observed=strange or f"{len(board.metrics)} metrics",
        remedy="\n".join(f"aws cloudwatch list-metrics --namespace {s.split()[0]}   # {s}" for s in strange),
    )


class LogGroup(View):
    """The application's log group."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By its exact name."""
        return log_group_named(stack.expect.logs.group)


def log_group_named(name: str, *after: View) -> Ask:
    """One log group by its exact name."""
    return Ask(
        "logs",
        "describe_log_groups",
        {"logGroupNamePrefix": name},
        f"log group {name}",
        rows="logGroups",
        match=lambda g: g.get("logGroupName") == name,
        name=name,
        after=after,
    )


@requirement("LOG-01", title="The log group exists", severity=BLOCKER, guide=622)
def log_group(group: LogGroup) -> Outcome:
    """A task whose log group is missing does not start."""
    return holds(group.text("logGroupName"), expected=group.subject)


@requirement("LOG-02", title="Log retention is set", severity=HIGH, guide=623, absent=FAIL)
def retention(group: LogGroup, expect: LogsExpectation) -> Outcome:
    """Without a retention they are kept, and paid for, for ever."""
    return holds(group.number("retentionInDays"), expected=expect.retention_days)


class LogStreams(View):
    """The newest log streams."""

    needs = (LogGroup,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is MISSING."""
        group = stack.view(LogGroup)
        return Ask(
            "logs",
            "describe_log_streams",
            {"logGroupName": group.subject, "orderBy": "LastEventTime", "descending": True, "limit": 5},
            f"stream in {group.subject}",
            rows="logStreams",
            many=True,
            name=group.subject,
            remedy=f"aws logs tail {group.subject}",
            after=(group,),
        )


@requirement("LOG-03", title="Tasks are writing to the log", severity=HIGH, guide=784, due=DAY)
def fresh_lines(streams: LogStreams, stack: Stack, expect: LogsExpectation) -> Outcome:
    """A silent log is a task that does not run, or one that cannot be examined."""
    times = [s.get("lastEventTimestamp") for s in streams.rows("logStreams")]
    newest = max((parse_moment(t) for t in times if t), default=None)
    if newest is None:
        raise NotThere(f"{streams.subject} holds no line", evidence=streams.evidence)
    return judged(
        stack.now - newest < timedelta(minutes=expect.fresh_minutes),
        expected=f"a line of the last {expect.fresh_minutes} minutes",
        observed=f"{newest:%Y-%m-%d %H:%M} UTC",
        remedy=f"aws logs tail {streams.subject} --since 30m",
    )


class ErrorLines(View):
    """The newest error lines of the application."""

    needs = (LogGroup,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """No such line is an answer."""
        group = stack.view(LogGroup)
        since = int((stack.now - timedelta(hours=1)).replace(minute=0, second=0, microsecond=0).timestamp() * 1000)
        wanted = {"logGroupName": group.subject, "filterPattern": "ERROR", "startTime": since}
        return Ask("logs", "filter_log_events", wanted, name=group.subject, after=(group,))


@requirement("LOG-04", title="The application logs few errors", severity=HIGH, guide=926, due=DAY)
def few_errors(lines: ErrorLines, expect: LogsExpectation) -> Outcome:
    """The balancer sees a 200 with an error behind it as a success; the log does not."""
    return at_most(
        len(lines.rows("events")),
        expect.errors_an_hour,
        unit=" error lines since the hour before",
        remedy=f"aws logs tail {lines.subject} --since 1h --filter-pattern ERROR",
    )


class Queries(View):
    """The newest Logs Insights queries of the group: whether they may be made at all."""

    needs = (LogGroup,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """An empty list is an answer: Insights can be asked."""
        group = stack.view(LogGroup)
        wanted = {"logGroupName": group.subject, "maxResults": 1}
        return Ask("logs", "describe_queries", wanted, name=group.subject, after=(group,))


@requirement("LOG-05", title="Logs Insights can be asked", severity=LOW, guide=926, due=DAY)
def insights(queries: Queries) -> Outcome:
    """Counting errors by kind over twenty tasks is a query, not a scroll; nothing is started here, for it costs."""
    return judged(isinstance(queries.rows("queries"), list), expected="an answer", observed="an answer")


class MetricFilters(View):
    """Metric filters of the log group."""

    needs = (LogGroup,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is MISSING."""
        group = stack.view(LogGroup)
        return Ask(
            "logs",
            "describe_metric_filters",
            {"logGroupName": group.subject},
            f"metric filter of {group.subject}",
            rows="metricFilters",
            many=True,
            name=group.subject,
            after=(group,),
        )


@requirement("LOG-06", title="Errors in the log are counted", severity=LOW)
def metric_filter(filters: MetricFilters) -> Outcome:
    """A line that nobody counts is a line that nobody reads."""
    return at_least(len(filters.rows("metricFilters")), 1, unit=" filters")
