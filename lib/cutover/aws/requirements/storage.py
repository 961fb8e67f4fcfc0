"""The S3 bucket of the PDF reports."""

from __future__ import annotations

from cutover.aws.requirements.answers import Ask, NotApplicable
from cutover.aws.requirements.requirement import (
    HIGH,
    LOW,
    MEDIUM,
    Outcome,
    at_least,
    holds,
    judged,
    one_of,
    requirement,
)
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View


def bucket_name(stack: Stack) -> str:
    """The bucket: `expect.s3.bucket`, or that of `target.reports`.

    Raises:
        NotApplicable: reports do not lie in S3.
    """
    if stack.expect.s3.bucket:
        return stack.expect.s3.bucket
    location = stack.migration.target.reports
    if not location.startswith("s3://"):
        raise NotApplicable(f"target.reports is {location}: no bucket")
    return location.removeprefix("s3://").partition("/")[0]


class Bucket(View):
    """The bucket itself."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By name."""
        name = bucket_name(stack)
        return Ask(
            "s3",
            "head_bucket",
            {"Bucket": name},
            f"bucket {name}",
            name=name,
        )


class _Part(View):
    """One sub-resource of the bucket; AWS answers "not found" where none is set."""

    needs = (Bucket,)
    operation = ""
    what = ""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """For a bucket that exists."""
        bucket = stack.view(Bucket)
        return Ask(
            "s3",
            cls.operation,
            {"Bucket": bucket.subject},
            cls.what,
            name=bucket.subject,
            after=(bucket,),
        )


class PublicAccess(_Part):
    """Block Public Access."""

    operation, what = "get_public_access_block", "block of public access"


class Encryption(_Part):
    """Default encryption."""

    operation, what = "get_bucket_encryption", "default encryption"


class Versioning(_Part):
    """Versioning."""

    operation = "get_bucket_versioning"


class Policy(_Part):
    """The bucket's policy."""

    operation, what = "get_bucket_policy", "bucket policy"


class LifecycleRules(_Part):
    """Lifecycle rules."""

    operation, what = "get_bucket_lifecycle_configuration", "lifecycle rule"


@requirement("S3-01", title="The report bucket exists", severity=HIGH, guide=73)
def bucket_exists(bucket: Bucket, stack: Stack) -> Outcome:
    """The reports of the source are copied there."""
    region, wanted = bucket.get("BucketRegion"), stack.migration.region
    return judged(
        region in (None, wanted),
        expected=f"{bucket.subject} in {wanted}",
        observed=f"{bucket.subject} in {region or 'a region that is not told'}",
        remedy=f"aws s3api create-bucket --bucket <another name> --region {wanted}   # a bucket cannot be moved",
    )


@requirement("S3-02", title="The reports cannot become public", severity=HIGH, guide=73)
def public_access_is_blocked(access: PublicAccess) -> Outcome:
    """A report holds a person's private conversations."""
    keys = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    seen = {k: access.flag(f"PublicAccessBlockConfiguration.{k}") for k in keys}
    return judged(
        all(seen.values()),
        expected="all four on",
        observed=[k for k, v in seen.items() if not v] or "all four on",
    )


@requirement("S3-03", title="The reports are encrypted", severity=HIGH, guide=673)
def reports_are_encrypted(encryption: Encryption) -> Outcome:
    """The guide asks for encryption at rest."""
    path = "ServerSideEncryptionConfiguration.Rules.0.ApplyServerSideEncryptionByDefault.SSEAlgorithm"
    return one_of(encryption.text(path), ("AES256", "aws:kms", "aws:kms:dsse"))


@requirement("S3-04", title="Bucket versioning is enabled", severity=MEDIUM, guide=73)
def versioning(state: Versioning) -> Outcome:
    """A copy that goes wrong overwrites; versions keep what was there."""
    return holds(
        str(state.get("Status") or "never enabled"),
        expected="Enabled",
    )


@requirement("S3-05", title="The bucket policy demands TLS", severity=MEDIUM, guide=675)
def tls_only(policy: Policy) -> Outcome:
    """The guide asks for encryption in transit."""
    text = policy.text("Policy")
    return judged(
        "aws:SecureTransport" in text and "Deny" in text,
        expected="a Deny without aws:SecureTransport",
        observed="there" if "aws:SecureTransport" in text else "not in the policy",
        remedy=f"aws s3api get-bucket-policy --bucket {policy.subject}   # add a Deny without aws:SecureTransport",
    )


@requirement("S3-06", title="A lifecycle rule removes old versions", severity=LOW, guide=73)
def lifecycle(rules: LifecycleRules) -> Outcome:
    """Versions without an end are paid for without an end."""
    return at_least(len(rules.rows("Rules")), 1, unit=" rules")


class PolicyStatus(_Part):
    """Whether the bucket's policy makes it public, as S3 judges it."""

    operation, what = "get_bucket_policy_status", "bucket policy"


@requirement("S3-07", title="The bucket's policy does not make it public", severity=MEDIUM, guide=73)
def policy_is_private(status: PolicyStatus) -> Outcome:
    """Block Public Access may be switched off one day; the policy must not be waiting for it."""
    return holds(
        status.flag("PolicyStatus.IsPublic"),
        expected=False,
        remedy=f"aws s3api get-bucket-policy --bucket {status.subject}   # take out what says Principal *",
    )
