"""The review a day later: the metrics that the triggers stand on, what it costs, who changed what, and who watches."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from cutover.aws.requirements.answers import Ask, NotApplicable, NotThere, Unreadable
from cutover.aws.requirements.balancer import Balancer
from cutover.aws.requirements.rds import Instance
from cutover.aws.requirements.requirement import HIGH, LOW, MEDIUM, REVIEW, Outcome, at_most, judged, requirement
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.expectations import AccountExpectation

_OVER = 1.2
"""A month may cost this much more than was expected before it is worth a question."""


def _day(stack: Stack) -> dict[str, str]:
    """The last day, by whole hours, so that the same look asks the same thing."""
    end = stack.now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return {"StartTime": (end - timedelta(days=1)).isoformat(), "EndTime": end.isoformat()}


class BalancerMetrics(View):
    """Requests, errors, their ratio and p95 of the balancer in the last day, by id."""

    needs = (Balancer,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """One batched call."""
        alb = stack.view(Balancer)
        where = [{"Name": "LoadBalancer", "Value": alb.subject.partition(":loadbalancer/")[2]}]

        def metric(name: str, metric: str, stat: str) -> dict[str, Any]:
            about = {"Namespace": "AWS/ApplicationELB", "MetricName": metric, "Dimensions": where}
            return {"Id": name, "MetricStat": {"Metric": about, "Period": 3600, "Stat": stat}}

        queries = [
            metric("requests", "RequestCount", "Sum"),
            metric("errors", "HTTPCode_Target_5XX_Count", "Sum"),
            metric("p95", "TargetResponseTime", "p95"),
            {"Id": "ratio", "Expression": "100 * FILL(errors, 0) / requests"},
        ]
        return Ask(
            "cloudwatch",
            "get_metric_data",
            {"MetricDataQueries": queries, **_day(stack)},
            name=alb.subject,
            after=(alb,),
        )

    def values(self, name: str) -> list[float]:
        """The values of one query.

        Raises:
            Unreadable: there is none; no data is never a pass.
        """
        row: dict[str, Any] = next((r for r in self.rows("MetricDataResults") if r.get("Id") == name), {})
        values = [float(v) for v in row.get("Values") or []]
        if not values:
            raise Unreadable(f"CloudWatch has no value of {name} in the last day", evidence=self.evidence)
        return values


@requirement("POST-01", title="The balancer's requests are counted", severity=HIGH, guide=927, due=REVIEW)
def requests_are_counted(metrics: BalancerMetrics) -> Outcome:
    """Without requests in the metrics, every trigger was blind for the whole day."""
    total = sum(metrics.values("requests"))
    return judged(total > 0, expected="requests in the last day", observed=f"{total:g} requests")


@requirement("POST-02", title="The day's p95 stayed below the criterion", severity=HIGH, guide=937, due=REVIEW)
def p95_of_the_day(metrics: BalancerMetrics, stack: Stack) -> Outcome:
    """The criterion is watched while people look; the other twenty hours count as much."""
    return at_most(
        max(metrics.values("p95")),
        stack.expect.alarms.latency_above_s,
        unit=" s in the worst hour",
        remedy=f"look at the hour in the dashboard {stack.expect.alarms.dashboard} and at the application's log: "
        f"aws logs tail {stack.expect.logs.group} --since 24h",
    )


@requirement("POST-03", title="The day's error rate stayed below the criterion", severity=HIGH, guide=936, due=REVIEW)
def errors_of_the_day(metrics: BalancerMetrics, stack: Stack) -> Outcome:
    """As the rollback alarm computes it: 5xx answers as a share of all requests, by the hour."""
    return at_most(
        max(metrics.values("ratio")),
        stack.expect.alarms.errors_above_percent,
        unit=" % in the worst hour",
        remedy=f"aws logs tail {stack.expect.logs.group} --since 24h --filter-pattern ERROR",
    )


class ResponseTimes(View):
    """The balancer's response time in the last day, its 95th percentile by the hour."""

    needs = (Balancer,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """GetMetricStatistics, the other way to a percentile."""
        alb = stack.view(Balancer)
        wanted = {
            "Namespace": "AWS/ApplicationELB",
            "MetricName": "TargetResponseTime",
            "Dimensions": [{"Name": "LoadBalancer", "Value": alb.subject.partition(":loadbalancer/")[2]}],
            "Period": 3600,
            "ExtendedStatistics": ["p95"],
            **_day(stack),
        }
        return Ask("cloudwatch", "get_metric_statistics", wanted, name=alb.subject, after=(alb,))


@requirement(
    "POST-04", title="p95 from GetMetricStatistics and GetMetricData agree", severity=MEDIUM, guide=937, due=REVIEW
)
def statistics_agree(statistics: ResponseTimes, metrics: BalancerMetrics) -> Outcome:
    """A trigger that reads another number than the alarm decides something else."""
    points = [p for p in statistics.rows("Datapoints") if (p.get("ExtendedStatistics") or {}).get("p95") is not None]
    if not points:
        raise Unreadable("CloudWatch has no percentile of TargetResponseTime", evidence=statistics.evidence)
    one, other = max(float(p["ExtendedStatistics"]["p95"]) for p in points), max(metrics.values("p95"))
    return judged(
        abs(one - other) <= 0.05 * max(one, other, 0.001),
        expected="the same within 5 %",
        observed=f"GetMetricStatistics {one:.3g} s, GetMetricData {other:.3g} s",
    )


class Costs(View):
    """What the project's resources cost in the last thirty days, by Cost Explorer (a day late, 0.01 USD a call)."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By the project's tag."""
        end = stack.now.date()
        wanted = {
            "TimePeriod": {"Start": str(end - timedelta(days=30)), "End": str(end)},
            "Granularity": "DAILY",
            "Metrics": ["UnblendedCost"],
            "Filter": {"Tags": {"Key": "Project", "Values": [stack.expect.account.project_tag]}},
        }
        return Ask("ce", "get_cost_and_usage", wanted, always=True, name="Cost Explorer", region="us-east-1")


@requirement("POST-05", title="The cost so far is what was expected", severity=MEDIUM, guide=712, due=REVIEW)
def cost_so_far(costs: Costs, expect: AccountExpectation) -> Outcome:
    """The guide's table leaves out half of what it builds; the second invoice is late to learn it from."""
    days = [
        float(((d.get("Total") or {}).get("UnblendedCost") or {}).get("Amount") or 0)
        for d in costs.rows("ResultsByTime")
    ]
    paid = [d for d in days if d > 0]
    if not paid:
        raise Unreadable("Cost Explorer knows nothing of the tag yet: it is a day late", evidence=costs.evidence)
    return at_most(round(sum(paid) / len(paid) * 30, 2), expect.monthly_usd * _OVER, unit=" USD a month at this rate")


class ListPrice(View):
    """The list price of the instance's class."""

    needs = (Instance,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """The price list is kept in us-east-1."""
        rds = stack.view(Instance)
        given = {
            "instanceType": rds.text("DBInstanceClass"),
            "databaseEngine": "PostgreSQL",
            "regionCode": stack.migration.region,
            "deploymentOption": "Multi-AZ" if rds.get("MultiAZ") else "Single-AZ",
        }
        filters = [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in given.items()]
        wanted = {"ServiceCode": "AmazonRDS", "Filters": filters, "MaxResults": 10}
        return Ask(
            "pricing", "get_products", wanted, always=True, name=given["instanceType"], region="us-east-1", after=(rds,)
        )


@requirement("POST-06", title="The class has a list price here", severity=LOW, guide=712, due=REVIEW)
def class_has_a_price(price: ListPrice) -> Outcome:
    """A class without a price in this region is one that AWS no longer sells there."""
    return judged(bool(price.rows("PriceList")), expected="a price", observed=f"{len(price.rows('PriceList'))} prices")


class Forecast(View):
    """What Cost Explorer expects the next thirty days to cost."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """From today on."""
        start = stack.now.date()
        wanted = {
            "TimePeriod": {"Start": str(start), "End": str(start + timedelta(days=30))},
            "Metric": "UNBLENDED_COST",
            "Granularity": "MONTHLY",
            "Filter": {"Tags": {"Key": "Project", "Values": [stack.expect.account.project_tag]}},
        }
        return Ask("ce", "get_cost_forecast", wanted, always=True, name="Cost Explorer", region="us-east-1")


@requirement("POST-07", title="The forecast is what was expected", severity=MEDIUM, guide=712, due=REVIEW)
def cost_forecast(forecast: Forecast, expect: AccountExpectation) -> Outcome:
    """What runs at this rate is still cheap to change today."""
    return at_most(forecast.number("Total.Amount"), expect.monthly_usd * _OVER, unit=" USD in thirty days")


class Changes(View):
    """The changing calls of the last day, as CloudTrail has them."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """Reads are left out; CloudTrail takes two such calls a second."""
        wanted = {"LookupAttributes": [{"AttributeKey": "ReadOnly", "AttributeValue": "false"}], **_day(stack)}
        return Ask("cloudtrail", "lookup_events", wanted, always=True, name="cloudtrail")


@requirement("POST-08", title="No changes by the root user (CloudTrail)", severity=LOW, due=REVIEW)
def changes_by_known_hands(changes: Changes) -> Outcome:
    """The root user leaves no name behind, and whoever changes things that night should be in the room."""
    by = Counter(str(e.get("Username") or "unnamed") for e in changes.rows("Events"))
    return judged(
        "root" not in by,
        expected="nothing by the root user",
        observed=[f"{name}: {count}" for name, count in by.most_common(8)] or "no change",
    )


class Workloads(View):
    """Workloads in the Well-Architected Tool."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is MISSING."""
        return Ask("wellarchitected", "list_workloads", what="workload on record", rows="WorkloadSummaries", many=True,
                   name="wellarchitected")  # fmt: skip


@requirement("POST-09", title="The workload is on record in the Well-Architected Tool", severity=LOW, due=REVIEW)
def workload_is_recorded(workloads: Workloads, stack: Stack) -> Outcome:
    """A milestone after the move is what the next review compares with."""
    names = [str(w.get("WorkloadName", "")) for w in workloads.rows("WorkloadSummaries")]
    return judged(any(stack.migration.name in n.lower() for n in names), expected=stack.migration.name, observed=names)


class Advice(View):
    """What Compute Optimizer says of the service."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """It needs a day of metrics at least."""
        if stack.migration.compute != "ecs":
            raise NotApplicable("compute is ec2: the platform runs on instances")
        m, e = stack.migration, stack.expect.ecs
        arn = f"arn:aws:ecs:{m.region}:{m.account_id}:service/{e.cluster}/{e.service}"
        return Ask("compute-optimizer", "get_ecs_service_recommendations", {"serviceArns": [arn]},
                   "recommendation for the service yet", rows="ecsServiceRecommendations", name=arn)  # fmt: skip


@requirement("POST-10", title="The tasks have the size that they need", severity=LOW, due=REVIEW)
def tasks_are_sized(advice: Advice) -> Outcome:
    """Too small is an incident under load, too large an invoice."""
    found = advice.text("finding")
    return judged(
        found == "Optimized", expected="Optimized", observed=[found, *(advice.get("findingReasonCodes") or [])]
    )


class Detectors(View):
    """GuardDuty's detectors in the region."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is MISSING."""
        return Ask("guardduty", "list_detectors", what="GuardDuty detector in this region", rows="DetectorIds",
                   many=True, name="guardduty")  # fmt: skip


@requirement("POST-11", title="GuardDuty is enabled", severity=LOW, due=REVIEW)
def guardduty(detectors: Detectors) -> Outcome:
    """A new public address is tried within the hour."""
    return judged(
        len(detectors.rows("DetectorIds")) >= 1, expected="a detector", observed=detectors.rows("DetectorIds")
    )


class WebAcl(View):
    """The web ACL before the balancer."""

    needs = (Balancer,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """Asked of the balancer itself: an ACL that guards nothing is none."""
        alb = stack.view(Balancer)
        return Ask(
            "wafv2",
            "get_web_acl_for_resource",
            {"ResourceArn": alb.subject},
            f"web ACL before {alb.subject}",
            name=alb.subject,
            after=(alb,),
        )


@requirement("POST-12", title="AWS WAF is associated with the load balancer", severity=LOW, guide=634, due=REVIEW)
def web_acl(acl: WebAcl) -> Outcome:
    """The guide names it and never makes it; sign-in forms are what it is for."""
    name = acl.get("WebACL.Name")
    if not name:
        raise NotThere(f"no web ACL before {acl.subject}", evidence=acl.evidence)
    allowed = acl.get("WebACL.Rules") or []
    return judged(bool(allowed), expected="an ACL with a rule", observed=f"{name}, {len(allowed)} rules")
