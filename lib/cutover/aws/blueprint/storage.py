"""Buckets: of the reports, and of trails and logs (guide line 84, corrected)."""

from __future__ import annotations

import json
from typing import Any

from cutover.aws.blueprint.operation import Call, call, resource
from cutover.aws.blueprint.site import Site


def document(*statements: dict[str, Any]) -> str:
    """A policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)}, separators=(",", ":"))


def _arns(bucket: str) -> list[str]:
    return [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]


def _bucket(site: Site, bucket: str, *statements: dict[str, Any], ours: bool) -> list[Call]:
    """A bucket, private, encrypted, versioned; `ours`: what requirements look at."""

    def put(operation: str, fixes: str = "", /, **given: Any) -> Call:
        return call("s3", operation, fixes=fixes if ours else "", Bucket=bucket, **given)

    closed = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    cipher = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": True}
    expiry = {
        "ID": "old-versions",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
    tls = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": _arns(bucket),
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    elsewhere = site.region != "us-east-1"  # which S3 refuses to be told
    region: dict[str, Any] = {"CreateBucketConfiguration": {"LocationConstraint": site.region}} if elsewhere else {}
    return [
        put("create_bucket", **region),
        put("put_public_access_block", "S3-02", PublicAccessBlockConfiguration=dict.fromkeys(closed, True)),
        put("put_bucket_encryption", "S3-03", ServerSideEncryptionConfiguration={"Rules": [cipher]}),
        put("put_bucket_versioning", "S3-04", VersioningConfiguration={"Status": "Enabled"}),
        put("put_bucket_lifecycle_configuration", "S3-06", LifecycleConfiguration={"Rules": [expiry]}),
        put("put_bucket_policy", "S3-05", Policy=document(tls, *statements)),
        put("put_bucket_tagging", Tagging={"TagSet": site.tags}),
    ]


@resource(
    "reports", "the bucket of the reports, private, versioned, over TLS alone", fixes="S3-01..06", gives="REPORTS"
)
def reports(site: Site) -> list[Call]:
    """The guide names the bucket and never makes it."""
    return _bucket(site, site.reports, ours=True)


@resource("audit", "the bucket of trails and access logs", fixes="", gives="AUDIT",
          probe=lambda site: call("s3", "head_bucket", Bucket=site.audit))  # fmt: skip
def audit(site: Site) -> list[Call]:
    """CloudTrail, the balancer and flow logs write there."""
    services = [
        "cloudtrail.amazonaws.com",
        "delivery.logs.amazonaws.com",
        "logdelivery.elasticloadbalancing.amazonaws.com",
    ]
    deliver = {
        "Sid": "Deliver",
        "Effect": "Allow",
        "Principal": {"Service": services},
        "Action": ["s3:GetBucketAcl", "s3:PutObject"],
        "Resource": _arns(site.audit),
        "Condition": {"StringEquals": {"aws:SourceAccount": site.account}},
    }
    return _bucket(site, site.audit, deliver, ours=False)
