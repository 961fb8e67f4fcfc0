"""Small gaps of moto: conditions in bucket policies, who uses a certificate, scans, rotation that is planned."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from moto.acm.models import AWSCertificateManagerBackend, CertBundle
from moto.acm.responses import AWSCertificateManagerResponse
from moto.core.config import default_user_config
from moto.ecr.models import ECRBackend
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket
from moto.secretsmanager.models import SecretsManagerBackend

from cutover.rehearsal.cloud.extension import extend
from cutover.rehearsal.cloud.policies import Decision, decide

_moto_in_use = AWSCertificateManagerBackend.set_certificate_in_use_by
_moto_certificates = AWSCertificateManagerBackend.list_certificates
_moto_describe_certificate = CertBundle.describe
_moto_request_certificate = AWSCertificateManagerResponse.request_certificate
_moto_findings = ECRBackend.describe_image_scan_findings
_moto_put_image = ECRBackend.put_image
_moto_rotate = SecretsManagerBackend.rotate_secret
_MADE_UP = "CVE-9999-9999"
"""The finding that moto invents for every image that no test gave others."""


def install() -> None:
    """Give moto's services these methods; functions run without a container engine."""
    extend(FakeBucket, Bucket)
    extend(AWSCertificateManagerBackend, Certificates)
    extend(AWSCertificateManagerResponse, CertificateRequests)
    extend(CertBundle, Certificate)
    extend(ECRBackend, Images)
    extend(SecretsManagerBackend, Secrets)
    default_user_config["lambda"] = {"use_docker": False}


class Certificates:
    """Set on moto's `AWSCertificateManagerBackend`."""

    def set_certificate_in_use_by(self: Any, arn: str, load_balancer_name: str) -> None:
        """`InUseBy` names the load balancer, not its listener (`…:listener/app/NAME/ID/LISTENER`)."""
        owner, found, path = load_balancer_name.partition(":listener/")
        name = f"{owner}:loadbalancer/{path.rsplit('/', 1)[0]}" if found else load_balancer_name
        _moto_in_use(self, arn, name)

    def list_certificates(self: Any, statuses: Any, includes: Any) -> Any:
        """ListCertificates: RSA keys of 1,024 and 2,048 bits, unless `Includes.keyTypes` asks for others."""
        return _moto_certificates(self, statuses, {"keyTypes": ["RSA_1024", "RSA_2048"], **(includes or {})})


class CertificateRequests:
    """Set on moto's `AWSCertificateManagerResponse`."""

    def request_certificate(self: Any) -> Any:
        """RequestCertificate, with the key algorithm that was asked for."""
        answer: Any = _moto_request_certificate(self)
        asked = self._get_param("KeyAlgorithm")
        if asked:
            self.acm_backend._certificates[answer.result["CertificateArn"]].key_asked_for = asked
        return answer


class Certificate:
    """Set on moto's `CertBundle`."""

    def describe(self: Any) -> dict[str, Any]:
        """Its description; the key's algorithm is the one that was asked for."""
        whole = _moto_describe_certificate(self)
        whole["Certificate"]["KeyAlgorithm"] = getattr(self, "key_asked_for", whole["Certificate"]["KeyAlgorithm"])
        return whole


class Images:
    """Set on moto's `ECRBackend`."""

    repositories: Any

    def put_image(self: Any, repository_name: str, *args: Any, **kwargs: Any) -> Any:
        """PutImage; where the repository scans on push, the image is scanned."""
        image = _moto_put_image(self, repository_name, *args, **kwargs)
        if self.repositories[repository_name].image_scanning_configuration.get("scanOnPush"):
            image.last_scan = datetime.now(UTC).replace(tzinfo=None)
        return image

    def describe_image_scan_findings(self: Any, registry_id: str, repository_name: str, image_id: Any) -> Any:
        """The findings that a test gave; none otherwise, for the images hold nothing that could be found."""
        answer = _moto_findings(self, registry_id, repository_name, image_id)
        found = answer.get("imageScanFindings", {})
        if any(f.get("name") == _MADE_UP for f in found.get("findings", [])):
            found |= {"findings": [], "findingSeverityCounts": {}}
        return answer


class Secrets:
    """Set on moto's `SecretsManagerBackend`."""

    secrets: Any

    def rotate_secret(self: Any, secret_id: str, *args: Any, rotate_immediately: bool = True, **kwargs: Any) -> Any:
        """RotateSecret; planned only, it leaves no pending version behind (API reference, RotateImmediately)."""
        kwargs["rotate_immediately"] = rotate_immediately
        answer = _moto_rotate(self, secret_id, *args, **kwargs)
        if not rotate_immediately:
            versions = self.secrets[secret_id].versions
            for version in [v for v, one in versions.items() if one["version_stages"] == ["AWSPENDING"]]:
                del versions[version]
        return answer


class Bucket:
    """Set on moto's `FakeBucket`."""

    policy: Any

    def get_permission(self: Any, action: str, resource: str) -> Any:
        """The bucket policy's word, conditions and all.

        The emulator's plain port on loopback stands for AWS's HTTPS endpoint, and no request to it leaves the machine:
        `aws:SecureTransport` is taken to be true.
        """
        if self.policy is None:
            return PermissionResult.NEUTRAL
        text = self.policy.decode() if isinstance(self.policy, bytes) else self.policy
        decision, _ = decide([json.loads(text)], action, resource, {"aws:securetransport": ["true"]})
        return {
            Decision.ALLOWED: PermissionResult.PERMITTED,
            Decision.EXPLICIT_DENY: PermissionResult.DENIED,
            Decision.IMPLICIT_DENY: PermissionResult.NEUTRAL,
        }[decision]
