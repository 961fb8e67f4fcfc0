"""Where the architecture is to stand: names, sizes and settings that the blueprint's operations are written with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cutover.expectations import Expectations
from cutover.migration import Migration


@dataclass(frozen=True, slots=True)
class Site:
    """One account and region, and what is expected there.

    Attributes:
        name: the migration's; prefixes what has no name of its own.
        account: the account's id, twelve digits.
        region: where everything stands.
        dr_region: where the replica for disasters stands.
        hostname: the platform's public name.
        balancer: the load balancer's name.
        reports: the bucket of the reports.
        image: the release's image, with its tag or digest.
        version: the release's version.
        expect: names, sizes and settings.
        compute: `ecs` or `ec2`.
        source_major: the source's PostgreSQL major, when it is known.
    """

    name: str
    account: str
    region: str
    dr_region: str
    hostname: str
    balancer: str
    reports: str
    image: str
    version: str
    expect: Expectations
    compute: str = "ecs"
    source_major: int | None = None

    @classmethod
    def of(cls, migration: Migration, source_major: int | None = None) -> Self:
        """The site of a migration."""
        m = migration
        return cls(
            name=m.name,
            account=m.account_id,
            region=m.region,
            dr_region=m.dr_region,
            hostname=m.hostname,
            balancer=m.target.load_balancer,
            reports=m.expect.s3.bucket or m.target.reports.removeprefix("s3://").split("/")[0],
            image=m.release.image,
            version=m.release.version,
            expect=m.expect,
            compute=m.compute,
            source_major=source_major,
        )

    @property
    def audit(self) -> str:
        """The bucket for trails and access logs; named after the account, for bucket names are the whole world's."""
        return f"{self.name}-audit-{self.account}"

    @property
    def zone(self) -> str:
        """The hosted zone's name: the planned one, else the public name without its first label."""
        return self.expect.dns.zone or self.hostname.partition(".")[2]

    @property
    def engine_major(self) -> str:
        """PostgreSQL's major: the planned one, else the source's, else what a person gives."""
        known = self.expect.rds.engine_major or self.source_major or self.expect.rds.source_major
        return str(known) if known else "$ENGINE_MAJOR"

    @property
    def tags(self) -> list[dict[str, str]]:
        """The project's tag, as most services take it."""
        return [{"Key": "Project", "Value": self.expect.account.project_tag}]

    @property
    def lower_tags(self) -> list[dict[str, str]]:
        """The project's tag, as ECS takes it."""
        return [{"key": "Project", "value": self.expect.account.project_tag}]

    @property
    def tag_map(self) -> dict[str, str]:
        """The project's tag, as CloudWatch Logs and others take it."""
        return {"Project": self.expect.account.project_tag}

    def named(self, kind: str, name: str) -> list[dict[str, object]]:
        """Tags at creation, as EC2 takes them."""
        return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}, *self.tags]}]

    def role(self, name: str) -> str:
        """The ARN of one of the account's roles."""
        return f"arn:aws:iam::{self.account}:role/{name}"
