"""The balancer's listeners: what visitors meet on 443 and on 80."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from cutover.aws.requirements.balancer import Balancer, TargetGroup
from cutover.aws.requirements.certificate import Certificate
from cutover.aws.requirements.requirement import BLOCKER, FAIL, HIGH, MEDIUM, Outcome, holds, judged, requirement
from cutover.aws.requirements.stack import Absent, NotThere, Stack, View
from cutover.expectations import AlbExpectation


class Listeners(View):
    """The balancer's listeners."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """None is MISSING."""
        alb = stack.view(Balancer)
        answer = stack.need("elbv2", "describe_listeners", LoadBalancerArn=alb.subject)
        if not answer.data.get("Listeners"):
            raise NotThere(f"{alb.subject} has no listener", remedy=_listener(alb.subject, 443))
        return cls(answer.data, alb.subject, alb, answer)

    def on(self, port: int) -> Mapping[str, Any]:
        """The listener on a port.

        Raises:
            NotThere: there is none.
        """
        for row in self.rows("Listeners"):
            if row.get("Port") == port:
                return dict(row)
        raise NotThere(f"no listener on {port}", remedy=_listener(self.subject, port), evidence=self.evidence)


def _listener(balancer: str, port: int) -> str:
    head = f"aws elbv2 create-listener --load-balancer-arn {balancer} --port {port} "
    if port == 80:
        return head + (
            "--protocol HTTP --default-actions "
            "'Type=redirect,RedirectConfig={Protocol=HTTPS,Port=443,StatusCode=HTTP_301}'"
        )
    return head + (
        "--protocol HTTPS --ssl-policy ELBSecurityPolicy-TLS13-1-2-2021-06 --certificates CertificateArn=… "
        "--default-actions Type=forward,TargetGroupArn=…"
    )


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
    return holds(str(listeners.on(443).get("Protocol")), expected="HTTPS", remedy=_listener(listeners.subject, 443))


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


@requirement("LSN-03", title="443 shows the issued certificate", severity=BLOCKER, guide=518)
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


@requirement("LSN-04", title="443 speaks TLS 1.2 or later", severity=HIGH, guide=513, absent=FAIL)
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

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """The default rule is always among them."""
        listeners = stack.view(Listeners)
        arn = str(listeners.on(443).get("ListenerArn"))
        answer = stack.need("elbv2", "describe_rules", ListenerArn=arn)
        if not answer.data.get("Rules"):
            raise NotThere(f"{arn} has no rule")
        return cls(answer.data, arn, listeners, answer)


@requirement("LSN-06", title="No other rule takes visitors away", severity=MEDIUM, guide=513)
def no_other_rule(rules: Rules) -> Outcome:
    """A forgotten maintenance rule answers 503 to everyone."""
    others = [r.get("RuleArn", "") for r in rules.rows("Rules") if not r.get("IsDefault")]
    return judged(
        not others,
        expected="the default rule alone",
        observed=others or "the default rule alone",
        remedy="\n".join(f"aws elbv2 delete-rule --rule-arn {r}" for r in others),
    )
