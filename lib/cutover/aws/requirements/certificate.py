"""The TLS certificate of the public name."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from cutover.aws.answer import choices
from cutover.aws.requirements.answers import NotThere, Unreadable
from cutover.aws.requirements.requirement import BLOCKER, HIGH, MEDIUM, Outcome, holds, judged, requirement
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.expectations import AcmExpectation


def covers(pattern: str, hostname: str) -> bool:
    """Whether a certificate's name covers a host: itself, or a wildcard for one label (RFC 6125, 6.4.3)."""
    pattern, hostname = pattern.lower(), hostname.lower()
    if pattern.startswith("*."):
        return hostname.partition(".")[2] == pattern[2:]
    return pattern == hostname


class Certificate(View):
    """The certificate that covers `hostname`; the issued one, where there are several."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """Found by its names. ACM lists RSA keys of 1,024 and 2,048 bits only, unless it is asked for the others."""
        host, types = stack.migration.hostname, list(choices("acm", "KeyAlgorithm"))
        listing = stack.need("acm", "list_certificates", Includes={"keyTypes": types})
        found = []
        for row in listing.data.get("CertificateSummaryList", []):
            names = [row.get("DomainName", ""), *(row.get("SubjectAlternativeNameSummaries") or [])]
            if any(covers(n, host) for n in names):
                answer = stack.need("acm", "describe_certificate", CertificateArn=row["CertificateArn"])
                found.append(cls(answer.data.get("Certificate") or {}, str(row["CertificateArn"]), listing, answer))
        if not found and "Includes" not in listing.call.arguments:
            raise Unreadable("this look asked for RSA keys alone", evidence=(listing.evidence,))
        if not found:
            raise NotThere(f"no certificate covers {host}")
        return max(found, key=lambda c: (c.get("Status") == "ISSUED", bool(c.get("InUseBy")), str(c.get("NotAfter"))))


@requirement("ACM-01", title="The certificate is issued", severity=BLOCKER, guide=86)
def is_issued(certificate: Certificate) -> Outcome:
    """A listener refuses one that is still pending."""
    return holds(
        certificate.text("Status"),
        expected="ISSUED",
        remedy="create the DNS record of the validation: aws acm describe-certificate --certificate-arn "
        + certificate.subject,
    )


@requirement("ACM-02", title="The certificate covers the public name", severity=BLOCKER, guide=86)
def covers_the_name(certificate: Certificate, stack: Stack, expect: AcmExpectation) -> Outcome:
    """Browsers refuse any other name."""
    names = certificate.rows("SubjectAlternativeNames")
    wanted = (stack.migration.hostname, *expect.also_covers)
    open_names = [w for w in wanted if not any(covers(n, w) for n in names)]
    return judged(
        not open_names,
        expected=", ".join(wanted),
        observed=names,
        remedy=f"aws acm request-certificate --domain-name {wanted[0]} --subject-alternative-names {' '.join(wanted)}",
    )


@requirement("ACM-03", title="The certificate is valid for long enough", severity=HIGH, guide=86)
def lasts(certificate: Certificate, stack: Stack, expect: AcmExpectation) -> Outcome:
    """It must not end while everyone is watching something else."""
    until = certificate.moment("NotAfter")
    return judged(
        until > stack.now + timedelta(days=expect.days_left),
        expected=f"{expect.days_left} days more",
        observed=f"until {until:%Y-%m-%d}",
        remedy=f"aws acm renew-certificate --certificate-arn {certificate.subject}",
    )


@requirement("ACM-05", title="The certificate renews automatically", severity=MEDIUM, guide=86)
def is_validated_by_dns(certificate: Certificate) -> Outcome:
    """A certificate validated by mail waits for a person every year."""
    return holds(certificate.text("DomainValidationOptions.0.ValidationMethod"), expected="DNS")
