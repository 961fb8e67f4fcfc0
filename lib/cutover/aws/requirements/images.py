"""The image repository and the image that is to run."""

from __future__ import annotations

from cutover.aws.requirements.answers import Ask
from cutover.aws.requirements.compute import only_on_ecs
from cutover.aws.requirements.field import rows_of
from cutover.aws.requirements.requirement import BLOCKER, FAIL, HIGH, LOW, Outcome, holds, judged, requirement
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View

field = rows_of(__name__).field


class Repository(View):
    """The repository."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By name."""
        name = stack.expect.ecr.repository
        return Ask(
            "ecr",
            "describe_repositories",
            {"repositoryNames": [name]},
            f"repository {name}",
            rows="repositories",
            subject="repositoryArn",
            name=name,
        )

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

    needs = (Repository,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By the tag or digest of `release.image`."""
        only_on_ecs(stack)
        repository, image = stack.view(Repository), stack.migration.release.image
        return image_named(repository, image)


def image_named(repository: Repository, image: str, *after: View) -> Ask:
    """One image of the repository, by the reference that a task definition has."""
    return Ask(
        "ecr",
        "describe_images",
        {"repositoryName": repository.name, "imageIds": [image_id(image)]},
        f"image {image} in the repository",
        rows="imageDetails",
        name=image,
        remedy=f"docker push {image}",
        after=(repository, *after),
    )


@requirement("ECR-01", title="The image repository exists", severity=BLOCKER, guide=268)
def repository_exists(repository: Repository, stack: Stack) -> Outcome:
    """Tasks fetch their image from it."""
    wanted = f"{stack.migration.account_id}.dkr.ecr.{stack.migration.region}.amazonaws.com/{repository.name}"
    return holds(repository.text("repositoryUri"), expected=wanted)


# fmt: off
field("ECR-02", Repository, "imageScanningConfiguration.scanOnPush", equals=True, severity=HIGH, guide=269, absent=FAIL,
      title="Images are scanned when pushed", why="A known hole is otherwise deployed with the release.")
field("ECR-03", Repository, "encryptionConfiguration.encryptionType", one_of=lambda e: e.ecr.encryption, severity=HIGH,
      guide=270, title="Images are encrypted", why="The guide asks for it; it is chosen at creation.")
field("ECR-04", Repository, "imageTagMutability", matches=("IMMUTABLE", "IMMUTABLE"), severity=HIGH, guide=325,
      title="Image tags are immutable",
      why="The guide pushes a mutable `latest`: a rollback then fetches the image it wanted to leave.")
# fmt: on


@requirement("ECR-05", title="The release's image is pushed", severity=BLOCKER, guide=325)
def image_is_pushed(image: ReleaseImage) -> Outcome:
    """A deployment of an image that is not there hangs in PROVISIONING until someone looks."""
    digest = image.text("imageDigest")
    return judged(digest.startswith("sha256:"), expected="an image with a digest", observed=digest)


class Scan(View):
    """The scan of the release's image."""

    needs = (Repository, ReleaseImage)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is MISSING."""
        repository, image = stack.view(Repository), stack.view(ReleaseImage)
        wanted = image_id(image.subject)
        return Ask(
            "ecr",
            "describe_image_scan_findings",
            {"repositoryName": repository.name, "imageId": wanted},
            "scan of the image",
            name=image.subject,
            remedy=f"aws ecr start-image-scan --repository-name {repository.name} --image-id "
            + ",".join(f"{k}={v}" for k, v in wanted.items()),
            after=(image,),
        )


@requirement("ECR-06", title="Image scan: no critical or high CVEs", severity=HIGH, guide=761)
def scan_is_clean(scan: Scan) -> Outcome:
    """The checklist's "security scan passed"."""
    state = scan.text("imageScanStatus.status")
    counts = dict(scan.get("imageScanFindings.findingSeverityCounts") or {})
    serious = {k: v for k, v in counts.items() if k in ("CRITICAL", "HIGH") and v}
    return judged(
        state in ("COMPLETE", "ACTIVE") and not serious,
        expected="scan complete, nothing CRITICAL or HIGH",
        observed=f"{state}; {', '.join(f'{v} {k}' for k, v in serious.items()) or 'nothing serious'}",
        remedy="rebuild the image on a fixed base and push it under a new tag",
    )


class Lifecycle(View):
    """The repository's lifecycle policy."""

    needs = (Repository,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is MISSING."""
        repository = stack.view(Repository)
        return Ask(
            "ecr",
            "get_lifecycle_policy",
            {"repositoryName": repository.name},
            "lifecycle policy",
            name=repository.subject,
            after=(repository,),
        )


@requirement("ECR-07", title="A lifecycle policy removes old images", severity=LOW)
def lifecycle_policy(policy: Lifecycle) -> Outcome:
    """Keep what a rollback needs, and not every build for ever."""
    return judged("expire" in policy.text("lifecyclePolicyText"), expected="a rule that expires images",
                  observed=policy.text("lifecyclePolicyText")[:200])  # fmt: skip


class RegistryScanning(View):
    """How the registry scans."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """Every registry has a configuration."""
        only_on_ecs(stack)
        return Ask("ecr", "get_registry_scanning_configuration", always=True, name="the registry")


@requirement("ECR-08", title="The registry scans what is pushed", severity=LOW, guide=269)
def registry_scans(scanning: RegistryScanning) -> Outcome:
    """The setting of a single repository, which the guide uses, is deprecated: the registry's is the one that stays."""
    rules = scanning.get("scanningConfiguration.rules") or []
    often = {r.get("scanFrequency") for r in rules}
    return judged(
        bool(often & {"SCAN_ON_PUSH", "CONTINUOUS_SCAN"}),
        expected="a rule that scans on push",
        observed=f"{scanning.get('scanningConfiguration.scanType')}, {len(rules)} rules",
    )
