"""The deployer, and the function that could rotate the database's password."""

from __future__ import annotations

import io
import json
import zipfile

from cutover.aws.blueprint import Site
from cutover.aws.blueprint.storage import document
from cutover.aws.permissions import policy
from cutover.rehearsal.cloud.iam import DEPLOYER
from cutover.rehearsal.cloud.provision.plan import ACCOUNT, REGION, Hands


def build_deployer(hands: Hands, site: Site, zone: str) -> None:
    """The principal that the runbook runs as."""
    iam = hands.client("iam")
    iam.create_user(UserName=DEPLOYER, Tags=site.tags)
    for name in ("read", "write"):
        policy = iam.create_policy(
            PolicyName=f"shadowtwin-deploy-{name}",
            PolicyDocument=deployer_policy(name, zone),
            Description=f"ShadowTwin runbook: {name}",
            Tags=site.tags,
        )
        iam.attach_user_policy(UserName=DEPLOYER, PolicyArn=policy["Policy"]["Arn"])


def deployer_policy(name: str, zone: str) -> str:
    """docs/iam-policy.json for this account and the hosted zone `zone`: its statement to look, or those to act."""
    whole = policy(account=ACCOUNT, region=REGION, zone=zone)
    whole["Statement"] = [s for s in whole["Statement"] if (s["Sid"] == "Look") is (name == "read")]
    return json.dumps(whole, separators=(",", ":"))


def build_rotation(hands: Hands, site: Site, private: list[str], group: str) -> str:
    """A function in the tasks' network that may read and write the secrets; its ARN."""
    iam, name = hands.client("iam"), "shadowtwin-rotation"
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    secrets = {
        "Effect": "Allow",
        "Action": ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"],
        "Resource": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{site.name}/*",
    }
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust), Tags=site.tags)
    iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=document(secrets))
    answer = hands.client("lambda").create_function(
        FunctionName="shadowtwin-rotate-database",
        Runtime="python3.12",
        Role=site.role(name),
        Handler="rotate.handler",
        Code={"ZipFile": _zip("rotate.py", "def handler(event, context):\n    return event\n")},
        VpcConfig={"SubnetIds": private, "SecurityGroupIds": [group]},
        Tags=site.tag_map,
    )
    return str(answer["FunctionArn"])


def _zip(name: str, text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), text)
    return file.getvalue()
