"""Write docs/iam-policy.json anew from the calls of AWS that Cutover's own source makes, after one was added.

.venv/bin/python .ci/iam_policy.py
"""

from __future__ import annotations

import ast
import functools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import botocore.session
from botocore import xform_name

from cutover.aws.permissions import RECORD, policy
from cutover.files import write_whole

ROOT = Path(__file__).resolve().parents[1]
HOUSE = ROOT / "lib" / "cutover"
_NOT_OURS = ("rehearsal", "aws/blueprint", "aws/remedy", "aws/permissions")
"""The stage builds accounts of its own; remedies are printed, never run."""
_BY_TRANSFER = {"s3": {"upload_fileobj": ("put_object", "abort_multipart_upload")}}
"""Methods of boto3 that are no call of the API, and what they call."""

_PREFIX = {"elbv2": "elasticloadbalancing", "service-quotas": "servicequotas", "resourcegroupstaggingapi": "tag"}
_SPELLING = {
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:DeleteObjects": "s3:DeleteObject",
    "budgets:DescribeBudgets": "budgets:ViewBudget",
    "lambda:GetFunction": "lambda:GetFunction",
}
"""Where IAM calls an action otherwise than the API its operation (Service Authorization Reference)."""
_IMPLIED = {
    "ecs:RegisterTaskDefinition": ("iam:PassRole",),
    "ecs:RunTask": ("iam:PassRole",),
    "rds:CreateDBSnapshot": ("rds:AddTagsToResource",),
    "ecs:UpdateService": ("iam:PassRole",),
}
"""What AWS asks for besides."""
_LOOKS = re.compile(r":(Describe|List|Get|Lookup|Filter|Simulate|TestDNS|StartQuery|View|Search)")
_SENSITIVE = {"secretsmanager:GetSecretValue", "s3:GetObject"}
"""They only look, but at contents: scoped like a change."""


def iam_action(service: str, operation: str) -> str:
    """The action that IAM asks for when an operation is called."""
    action = f"{_PREFIX.get(service, service)}:{operation}"
    return _SPELLING.get(action, action)


def collect() -> dict[str, list[str]]:
    """`looks` and `changes`: the actions behind every call in Cutover's source."""
    actions = {iam_action(*call) for call in calls()}
    actions |= {more for action in actions for more in _IMPLIED.get(action, ())}
    looks = {a for a in actions if _LOOKS.search(a) and a not in _SENSITIVE}
    return {"looks": sorted(looks), "changes": sorted(actions - looks)}


@functools.cache
def _methods(service: str) -> dict[str, str]:
    """The API's operation by boto3's method; empty for a service that boto3 does not know."""
    session = _session()
    if service not in session.get_available_services():
        return {}
    return {xform_name(name): name for name in session.get_service_model(service).operation_names}


@functools.cache
def _session() -> botocore.session.Session:
    return botocore.session.Session()


def calls() -> set[tuple[str, str]]:
    """Service and API operation, in the API's spelling: `("rds", "DescribeDBInstances")`."""
    found: set[tuple[str, str]] = set()
    for path in sorted(HOUSE.rglob("*.py")):
        if not str(path.relative_to(HOUSE)).startswith(_NOT_OURS):
            found |= set(_in(ast.parse(path.read_text(encoding="utf-8"))))
    return found


def _in(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """The calls of one module: both names given, or one service and methods of its client."""
    loose: set[str] = set()
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
    for node in nodes:
        words = [a.value if isinstance(a, ast.Constant) and isinstance(a.value, str) else "" for a in node.args[:2]]
        if words and words[0] and (methods := _methods(words[0])):
            if len(node.args) > 1 and isinstance(node.args[1], ast.JoinedStr):
                pattern = _pattern(node.args[1])
                yield from ((words[0], methods[m]) for m in methods if re.fullmatch(pattern, m))
                continue
            if len(words) == 2 and words[1] in methods:
                yield words[0], methods[words[1]]
            elif _name(node) in ("client", "need", "ask", "call", "change", "Ask", "Call"):
                loose.add(words[0])
    texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    used = {_name(n) for n in nodes} | texts
    for service in loose:
        methods = _methods(service)
        for method, made in _BY_TRANSFER.get(service, {}).items():
            used |= set(made) if method in used else set()
        yield from ((service, methods[m]) for m in used if m in methods)


def _pattern(text: ast.JoinedStr) -> str:
    """`f"list_{kind}_policies"` as a pattern of the principals that it is asked of."""
    return "".join(re.escape(str(v.value)) if isinstance(v, ast.Constant) else "(role|user|group)" for v in text.values)


def _name(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def main() -> None:
    """Write the record and the policy."""
    actions = collect()
    write_whole(RECORD, json.dumps(actions, indent=2) + "\n")
    target = write_whole(ROOT / "docs" / "iam-policy.json", json.dumps(policy(actions), indent=2) + "\n")
    sys.stdout.write(f"{len(actions['looks'])} actions to look, {len(actions['changes'])} to change: {target}\n")


if __name__ == "__main__":
    main()
