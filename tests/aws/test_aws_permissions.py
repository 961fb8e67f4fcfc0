"""docs/iam-policy.json: as wide as the calls that are made, and no wider."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
from aws_recordings import Cloud, Recorded, describe_migration

from cutover.aws import Account, check_requirements
from cutover.aws.permissions import policy, recorded
from cutover.finding import Status

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "iam-policy.json"
_SPEC = importlib.util.spec_from_file_location("iam_policy", ROOT / ".ci" / "iam_policy.py")
assert _SPEC is not None
assert _SPEC.loader is not None
iam_policy = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(iam_policy)
RENEW = "a call was added or taken away: run .ci/iam_policy.py and commit both files"
WHOLE_SERVICE = re.compile(r"^\*$|:\*$")


def allowed(document: dict[str, list[dict[str, object]]]) -> set[str]:
    """Every action of a policy."""
    return {str(a) for s in document["Statement"] for a in s["Action"]}  # type: ignore[attr-defined]


def test_the_policy_in_the_docs_is_that_of_the_code() -> None:
    """Generated, and committed with the call that needs it."""
    assert iam_policy.collect() == recorded(), RENEW
    assert json.loads(DOCS.read_text()) == policy(), RENEW


def test_every_call_that_is_made_is_allowed(changing: Cloud) -> None:
    """Nothing in the emulator's journal of a whole look is outside the policy."""
    journal = changing.state / "calls.jsonl"
    before = len(journal.read_text().splitlines())
    account = Account(describe_migration(changing.endpoint))
    check_requirements(account, phase="review")
    lines = [json.loads(line) for line in journal.read_text().splitlines()[before:]]
    made = {
        iam_policy.iam_action(row["service"], row["operation"]) for row in lines if row["access_key"] == "rehearsal"
    }
    assert len(made) > 80
    outside = sorted(made - allowed(policy()))
    assert outside == []


def test_nothing_is_allowed_that_nobody_calls() -> None:
    """Each action stands behind a call in the source, or is asked for along with one."""
    beside = {"iam:PassRole", "rds:AddTagsToResource"}
    assert allowed(policy()) == {iam_policy.iam_action(*call) for call in iam_policy.calls()} | beside


def test_a_new_call_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The drift that the first test is for."""
    made = iam_policy.calls() | {("ecs", "DeleteService")}
    monkeypatch.setattr(iam_policy, "calls", lambda: made)
    assert iam_policy.collect()["changes"] != recorded()["changes"]


def test_looking_and_acting_are_apart_and_acting_is_on_the_stack_alone() -> None:
    """No wildcard action, and no change on `*` but where IAM knows no resource."""
    look, *acts = policy()["Statement"]
    assert look["Resource"] == "*"
    assert not {a for a in look["Action"] if WHOLE_SERVICE.search(a)}
    assert not {a for a in look["Action"] if re.search(r":(Create|Delete|Put|Modify|Update|Register|Run)", a)}
    for statement in acts:
        assert not {a for a in statement["Action"] if WHOLE_SERVICE.search(a)}
        if statement["Resource"] == ["*"]:
            anywhere = {
                "ecs:RegisterTaskDefinition",
                "ecs:DeregisterTaskDefinition",
                "secretsmanager:GetRandomPassword",
            }
            assert set(statement["Action"]) <= anywhere
    sids = [s["Sid"] for s in policy()["Statement"]]
    assert len(set(sids)) == len(sids), "IAM refuses a document that names two statements alike"
    passing = next(s for s in acts if s["Action"] == ["iam:PassRole"])
    assert passing["Condition"]["StringEqualsIfExists"] == {"iam:PassedToService": "ecs-tasks.amazonaws.com"}


def test_contents_are_not_read_with_the_right_to_look() -> None:
    """Secrets and reports are of the stack alone."""
    assert not {"secretsmanager:GetSecretValue", "s3:GetObject"} & set(policy()["Statement"][0]["Action"])


def test_the_policy_is_small_enough_for_iam() -> None:
    """6,144 characters without white space for a managed policy; the statement to look is one, the rest another."""
    look, *acts = policy(account="123456789012", region="us-east-1", zone="Z0123456789ABCDEFGHIJ")["Statement"]
    for part in ([look], acts):
        assert len(json.dumps({"Version": "2012-10-17", "Statement": part}, separators=(",", ":"))) <= 6144


def test_a_right_that_a_change_needs_is_asked_for(recorded: Recorded) -> None:
    """The caller that may not pass the roles is named before the night; one that may not look at a trifle is told."""
    answers = {
        k: r for k, r in recorded.responses.items() if r.call.operation == "simulate_principal_policy"
    }  # fmt: skip
    asked = {a for r in answers.values() for a in r.call.arguments["ActionNames"]}
    assert {"iam:PassRole", "ecs:RegisterTaskDefinition", "rds:CreateDBSnapshot", "s3:PutObject"} <= asked
    assert recorded.judge("ACC-02").status is Status.PASS

    def denying(action: str) -> Status:
        changed = json.loads(json.dumps({k: r.to_dict() for k, r in answers.items()}, default=str))
        from cutover.aws import Response

        for raw in changed.values():
            for row in raw["data"]["EvaluationResults"]:
                if row["EvalActionName"] == action:
                    row["EvalDecision"] = "implicitDeny"
                    row["ResourceSpecificResults"] = []
        responses = recorded.responses | {k: Response.from_dict(raw) for k, raw in changed.items()}
        return recorded.judge("ACC-02", responses).status

    assert denying("iam:PassRole") is Status.FAIL
    assert denying("ecs:DescribeServices") is Status.FAIL
    assert denying("cloudfront:ListDistributions") is Status.PASS
