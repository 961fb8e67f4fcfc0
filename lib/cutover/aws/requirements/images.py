"""The image repository and the image that is to run."""

from __future__ import annotations

from typing import Any, Self

from cutover.aws.requirements.requirement import BLOCKER, FAIL, HIGH, LOW, Outcome, holds, judged, one_of, requirement
from cutover.aws.requirements.stack import NotThere, Stack, View
from cutover.expectations import EcrExpectation


class Repository(View):
    """The repository."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """By name."""
        name = stack.expect.ecr.repository
        remedy = f"aws ecr create-repository --repository-name {name} --image-tag-mutability IMMUTABLE"
        answer = stack.need(
            "ecr", "describe_repositories", repositoryNames=[name], missing=f"no repository {name}", remedy=remedy
        )
        rows = answer.data.get("repositories") or []
        if not rows:
            raise NotThere(f"no repository {name}", remedy=remedy)
        return cls(rows[0], str(rows[0].get("repositoryArn") or name), answer)

    @property
    def name(self) -> str:
        """The repository's name."""
        return self.text("repositoryName")


def image_id(image: str) -> dict[str, str]:
    """The part of an image reference after its name, as ECR asks for it: by digest or by tag."""
    name, _, digest = image.partition("@")
    if digest:
        return {"imageDigest": digest}
    _, _, tag = name.rsplit("/", 1)[-1].partition(":")
    return {"imageTag": tag or "latest"}


class ReleaseImage(View):
    """The image that the migration releases."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """By the tag or digest of `release.image`."""
        repository, image = stack.view(Repository), stack.migration.release.image
        remedy = f"docker push {image}"
        answer = stack.need(
            "ecr",
            "describe_images",
            repositoryName=repository.name,
            imageIds=[image_id(image)],
            missing=f"{image} is not in the repository",
            remedy=remedy,
        )
        rows = answer.data.get("imageDetails") or []
        if not rows:
            raise NotThere(f"{image} is not in the repository", remedy=remedy)
        return cls(rows[0], image, repository, answer)


@requirement("ECR-01", title="The image repository exists", severity=BLOCKER, guide=268)
def repository_exists(repository: Repository, stack: Stack) -> Outcome:
    """Tasks fetch their image from it."""
    wanted = f"{stack.migration.account_id}.dkr.ecr.{stack.migration.region}.amazonaws.com/{repository.name}"
    return holds(repository.text("repositoryUri"), expected=wanted)


@requirement("ECR-02", title="Images are scanned when pushed", severity=HIGH, guide=269, absent=FAIL)
def scan_on_push(repository: Repository) -> Outcome:
    """A known hole is otherwise deployed with the release."""
    return holds(
        repository.flag("imageScanningConfiguration.scanOnPush"),
        expected=True,
        remedy=f"aws ecr put-image-scanning-configuration --repository-name {repository.name} "
        "--image-scanning-configuration scanOnPush=true",
    )


@requirement("ECR-03", title="Images are encrypted", severity=HIGH, guide=270)
def images_are_encrypted(repository: Repository, expect: EcrExpectation) -> Outcome:
    """The guide asks for it; it is chosen at creation."""
    return one_of(repository.text("encryptionConfiguration.encryptionType"), expect.encryption)


@requirement("ECR-04", title="Tags cannot be moved", severity=HIGH, guide=325)
def tags_are_immutable(repository: Repository) -> Outcome:
    """The guide pushes a mutable `latest`: a rollback then fetches the image it wanted to leave."""
    return judged(
        repository.text("imageTagMutability").startswith("IMMUTABLE"),
        expected="IMMUTABLE",
        observed=repository.text("imageTagMutability"),
        remedy=f"aws ecr put-image-tag-mutability --repository-name {repository.name} --image-tag-mutability IMMUTABLE",
    )


@requirement("ECR-05", title="The release's image is pushed", severity=BLOCKER, guide=325)
def image_is_pushed(image: ReleaseImage) -> Outcome:
    """A deployment of an image that is not there hangs in PROVISIONING until someone looks."""
    digest = image.text("imageDigest")
    return judged(digest.startswith("sha256:"), expected="an image with a digest", observed=digest)


class Scan(View):
    """The scan of the release's image."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """None is MISSING."""
        repository, image = stack.view(Repository), stack.view(ReleaseImage)
        wanted: dict[str, Any] = image_id(image.subject)
        answer = stack.need(
            "ecr",
            "describe_image_scan_findings",
            repositoryName=repository.name,
            imageId=wanted,
            missing="the image was never scanned",
            remedy=f"aws ecr start-image-scan --repository-name {repository.name} --image-id "
            + ",".join(f"{k}={v}" for k, v in wanted.items()),
        )
        return cls(answer.data, image.subject, image, answer)


@requirement("ECR-06", title="The image has no known serious hole", severity=HIGH, guide=761)
def scan_is_clean(scan: Scan) -> Outcome:
    """The checklist's "security scan passed"."""
    state = scan.text("imageScanStatus.status")
    counts = dict(scan.get("imageScanFindings.findingSeverityCounts") or {})
    serious = {k: v for k, v in counts.items() if k in ("CRITICAL", "HIGH") and v}
    return judged(
        state in ("COMPLETE", "ACTIVE") and not serious,
        expected="scan complete, nothing CRITICAL or HIGH",
        observed=f"{state}; {', '.join(f'{v} {k}' for k, v in serious.items()) or 'nothing serious'}",
        remedy="rebuild the image on a mended base and push it under a new tag",
    )


class Lifecycle(View):
    """The repository's lifecycle policy."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """None is MISSING."""
        repository = stack.view(Repository)
        answer = stack.need(
            "ecr", "get_lifecycle_policy", repositoryName=repository.name, missing="no lifecycle policy"
        )
        return cls(answer.data, repository.subject, repository, answer)


@requirement("ECR-07", title="Old images are cleaned up", severity=LOW)
def lifecycle_policy(policy: Lifecycle) -> Outcome:
    """Keep what a rollback needs, and not every build for ever."""
    return judged(bool(policy.text("lifecyclePolicyText")), expected="a policy", observed="a policy")
