"""IAM and STS as moto lacks them: the policy simulator, and dummy credentials that are the deployer's."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

from moto.core.responses import ActionResult
from moto.iam.exceptions import NotFoundException
from moto.iam.models import iam_backends
from moto.iam.responses import IamResponse
from moto.sts.models import STSBackend

from cutover.rehearsal.cloud.extension import extend
from cutover.rehearsal.cloud.policies import Context, Decision, decide

DEPLOYER = "shadowtwin-deployer"
"""The IAM user that the stage's dummy credentials speak for, once it exists."""

_moto_identity = STSBackend.get_caller_identity


def install() -> None:
    """Give moto's IAM and STS these operations."""
    extend(IamResponse, Responses)
    extend(STSBackend, Identity)


class Identity:
    """Set on moto's `STSBackend`."""

    def get_caller_identity(self: Any, access_key_id: str, region: str) -> tuple[str, str, str]:
        """Keys that moto did not give out are the deployer's: the stage has one caller, and no real credentials."""
        user_id, arn, account = _moto_identity(self, access_key_id, region)
        user = next((u for u in iam_backends[account]["aws"].users.values() if u.name == DEPLOYER), None)
        if arn.endswith(":user/moto") and user is not None:
            return user.id, user.arn, account
        return user_id, arn, account


class Responses:
    """Set on moto's `IamResponse`."""

    _get_params: Any
    backend: Any

    def simulate_principal_policy(self: Any) -> Any:
        """SimulatePrincipalPolicy: the principal's own and attached policies, its groups', its boundary."""
        params = self._get_params()
        documents = policies_of(self.backend, params["PolicySourceArn"])
        extra = [("PolicyInputList", json.loads(text)) for text in params.get("PolicyInputList") or []]
        return ActionResult(_simulate(params, documents + extra))

    def simulate_custom_policy(self: Any) -> Any:
        """SimulateCustomPolicy."""
        params = self._get_params()
        documents = [(f"PolicyInputList.{n}", json.loads(t)) for n, t in enumerate(params["PolicyInputList"], 1)]
        return ActionResult(_simulate(params, documents))


def policies_of(backend: Any, arn: str) -> list[tuple[str, dict[str, Any]]]:
    """Names and documents of all policies of a user or role; an assumed role's are its role's.

    Raises:
        NotFoundException: `NoSuchEntity`, there is no such principal.
    """
    assumed = re.fullmatch(r"arn:aws:sts::\d+:assumed-role/([^/]+)/.+", arn)
    name = assumed.group(1) if assumed else arn.rsplit("/", 1)[-1]
    if assumed or ":role/" in arn:
        principal = next((r for r in backend.roles.values() if r.name == name), None)
        groups: list[Any] = []
    else:
        principal = next((u for u in backend.users.values() if u.arn == arn), None)
        groups = [g for g in backend.groups.values() if principal in g.users]
    if principal is None:
        raise NotFoundException(f"The principal {arn} cannot be found.")
    found = []
    for holder in [principal, *groups]:
        found += [(policy, _parse(text)) for policy, text in dict(holder.policies).items()]
        for policy in holder.managed_policies.values():
            version = next(v for v in policy.versions if v.version_id == policy.default_version_id)
            found.append((policy.name, _parse(version.document)))
    return found


def _parse(document: Any) -> dict[str, Any]:
    if isinstance(document, dict):
        return document
    text = str(document)
    parsed: dict[str, Any] = json.loads(text if text.lstrip().startswith("{") else unquote(text))
    return parsed


def _simulate(params: dict[str, Any], policies: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    context: Context = {
        entry["ContextKeyName"].lower(): [str(v) for v in entry.get("ContextKeyValues") or []]
        for entry in params.get("ContextEntries") or []
    }
    boundary = [json.loads(text) for text in params.get("PermissionsBoundaryPolicyInputList") or []]
    documents = [document for _, document in policies]
    results = []
    for action in params["ActionNames"]:
        for resource in params.get("ResourceArns") or ["*"]:
            decision, deciding = decide(documents, action, resource, context)
            if boundary and decision is Decision.ALLOWED:
                within, _ = decide(boundary, action, resource, context)
                decision = Decision.ALLOWED if within is Decision.ALLOWED else Decision.IMPLICIT_DENY
            results.append(
                {
                    "EvalActionName": action,
                    "EvalResourceName": resource,
                    "EvalDecision": str(decision),
                    "MatchedStatements": [
                        {"SourcePolicyId": policies[i][0], "SourcePolicyType": "IAM Policy"} for i in deciding
                    ],
                    "MissingContextValues": [],
                }
            )
    return {"EvaluationResults": results, "IsTruncated": False}
