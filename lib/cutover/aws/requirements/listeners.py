"""The balancer's listeners: what visitors meet on 443 and on 80."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cutover.aws.requirements.answers import Absent, Ask, NotThere, dig
from cutover.aws.requirements.balancer import Balancer, TargetGroup
from cutover.aws.requirements.certificate import Certificate
from cutover.aws.requirements.requirement import BLOCKER, FAIL, HIGH, LOW, MEDIUM, Outcome, holds, judged, requirement
from cutover.aws.requirements.stack import Phase, Stack
from cutover.aws.requirements.view import View
from cutover.expectations import AlbExpectation


class Listeners(View):
    """The balancer's listeners."""

    needs = (Balancer,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is MISSING."""
        alb = stack.view(Balancer)
        return Ask(
            "elbv2",
            "describe_listeners",
            {"LoadBalancerArn": alb.subject},
            f"listener on {alb.subject}",
            rows="Listeners",
            many=True,
            name=alb.subject,
            after=(alb,),
        )

    def on(self, port: int) -> Mapping[str, Any]:
        """The listener on a port.

        Raises:
            NotThere: there is none.
        """
        for row in self.rows("Listeners"):
            if row.get("Port") == port:
                return dict(row)
        raise NotThere(f"no listener on {port}", evidence=self.evidence)


def forwards_to(listener: Mapping[str, Any]) -> list[str]:
    """The target groups that a listener's default actions forward to; weights of 0 left out."""
    found: list[str] = []
    for action in listener.get("DefaultActions") or []:
        if action.get("Type") != "forward":
            continue
        weighted = [
            g["TargetGroupArn"]
            for g in (action.get("ForwardConfig") or {}).get("TargetGroups", [])
            if g.get("Weight", 1) != 0
        ]
        found += weighted or [str(action.get("TargetGroupArn", ""))]
    return found


@requirement("LSN-01", title="HTTPS is served on 443", severity=BLOCKER, guide=516)
def https_listener(listeners: Listeners) -> Outcome:
    """Visitors come by https://."""
    found = listeners.on(443)
    remedy = f"aws elbv2 modify-listener --listener-arn {found.get('ListenerArn')} --protocol HTTPS --certificates …"
    return holds(str(found.get("Protocol")), expected="HTTPS", remedy=remedy)


@requirement("LSN-02", title="443 forwards to the target group", severity=BLOCKER, guide=519)
def https_forwards(listeners: Listeners, group: TargetGroup) -> Outcome:
    """Anything else is not the application."""
    listener = listeners.on(443)
    return holds(
        forwards_to(listener),
        expected=[group.subject],
        remedy=f"aws elbv2 modify-listener --listener-arn {listener.get('ListenerArn')} "
        f"--default-actions Type=forward,TargetGroupArn={group.subject}",
    )


@requirement("LSN-03", title="The listener on 443 serves the issued certificate", severity=BLOCKER, guide=518)
def https_certificate(listeners: Listeners, certificate: Certificate) -> Outcome:
    """Any other is refused by the browser."""
    listener = listeners.on(443)
    shown = [c.get("CertificateArn") for c in listener.get("Certificates") or []]
    return judged(
        certificate.subject in shown,
        expected=certificate.subject,
        observed=shown,
        remedy=f"aws elbv2 modify-listener --listener-arn {listener.get('ListenerArn')} "
        f"--certificates CertificateArn={certificate.subject}",
    )


@requirement("ACM-04", title="The certificate is in use by the balancer", severity=HIGH, guide=86)
def certificate_is_used(certificate: Certificate, alb: Balancer) -> Outcome:
    """ACM renews a certificate by itself only while something uses it."""
    users = certificate.rows("InUseBy")
    listener = alb.subject.replace(":loadbalancer/", ":listener/") + "/"
    used = any(u == alb.subject or str(u).startswith(listener) for u in users)
    return judged(used, expected=alb.subject, observed=users)


@requirement("LSN-04", title="The listener on 443 accepts TLS 1.2 or later only", severity=HIGH, guide=513, absent=FAIL)
def tls_policy(listeners: Listeners, expect: AlbExpectation) -> Outcome:
    """The guide names no policy, and the API's default still speaks TLS 1.0."""
    listener = listeners.on(443)
    policy = listener.get("SslPolicy")
    if not policy:
        raise Absent("SslPolicy")
    return judged(
        policy not in expect.weak_tls_policies,
        expected="a policy without TLS 1.0 and 1.1",
        observed=policy,
        remedy=f"aws elbv2 modify-listener --listener-arn {listener.get('ListenerArn')} "
        "--ssl-policy ELBSecurityPolicy-TLS13-1-2-2021-06",
    )


@requirement("LSN-05", title="80 redirects to HTTPS", severity=BLOCKER, guide=524)
def http_redirects(listeners: Listeners) -> Outcome:
    """Old links and typed addresses come by http://."""
    listener = listeners.on(80)
    actions = listener.get("DefaultActions") or [{}]
    redirect = actions[0].get("RedirectConfig") or {}
    return holds(
        [actions[0].get("Type"), redirect.get("Protocol"), redirect.get("Port"), redirect.get("StatusCode")],
        expected=["redirect", "HTTPS", "443", "HTTP_301"],
        remedy=f"aws elbv2 modify-listener --listener-arn {listener.get('ListenerArn')} --default-actions "
        "'Type=redirect,RedirectConfig={Protocol=HTTPS,Port=443,StatusCode=HTTP_301}'",
    )


class Rules(View):
    """The rules of the HTTPS listener."""

    needs = (Listeners,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """The default rule is always among them."""
        listeners = stack.view(Listeners)
        arn = str(listeners.on(443).get("ListenerArn"))
        return Ask(
            "elbv2", "describe_rules", {"ListenerArn": arn}, f"rule of {arn}", rows="Rules", many=True, name=arn,
            after=(listeners,),
        )  # fmt: skip


@requirement("LSN-06", title="No other listener or rule sends visitors elsewhere", severity=MEDIUM, guide=513)
def no_other_rule(rules: Rules, listeners: Listeners, stack: Stack) -> Outcome:
    """A forgotten maintenance rule answers 503 to everyone; on the day itself, one may stand until the cutover."""
    others = [r for r in rules.rows("Rules") if not r.get("IsDefault")]
    if stack.phase is Phase.DAY:
        others = [r for r in others if not _is_maintenance(r)]
    doors = [row for row in listeners.rows("Listeners") if row.get("Port") not in (80, 443)]
    seen = [f"rule {r.get('RuleArn')}" for r in others] + [f"listener on {d.get('Port')}" for d in doors]
    return judged(
        not seen,
        expected="the default rule alone, on 80 and 443 alone",
        observed=seen or "the default rule alone",
        remedy="\n".join(
            [f"aws elbv2 delete-rule --rule-arn {r.get('RuleArn')}" for r in others]
            + [f"aws elbv2 delete-listener --listener-arn {d.get('ListenerArn')}" for d in doors]
        ),
    )


def _is_maintenance(rule: Mapping[str, Any]) -> bool:
    """A rule that answers 503 to everyone: how the balancer is put into maintenance."""
    action: Mapping[str, Any] = next(iter(rule.get("Actions") or []), {})
    return action.get("Type") == "fixed-response" and dig(action, "FixedResponseConfig.StatusCode") == "503"


class TlsPolicies(View):
    """The protocols of the policy that 443 names."""

    needs = (Listeners,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By name."""
        listeners = stack.view(Listeners)
        policy = listeners.on(443).get("SslPolicy")
        if not policy:
            raise Absent("SslPolicy")
        return Ask(
            "elbv2", "describe_ssl_policies", {"Names": [policy]}, f"policy {policy}", rows="SslPolicies",
            name=str(policy), after=(listeners,),
        )  # fmt: skip


@requirement("LSN-07", title="The TLS policy's own protocols are modern", severity=LOW, guide=513)
def policy_protocols(policy: TlsPolicies) -> Outcome:
    """A name can mislead; the protocols that AWS lists for it cannot."""
    spoken = set(policy.rows("SslProtocols"))
    return judged(not spoken & {"TLSv1", "TLSv1.1"}, expected="neither TLS 1.0 nor 1.1", observed=spoken)
