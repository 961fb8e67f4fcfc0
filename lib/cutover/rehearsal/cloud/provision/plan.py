"""What is to be built, and the hands that build it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

import boto3
from botocore.config import Config

from cutover.aws.blueprint import Site
from cutover.expectations import Expectations

ACCOUNT = "123456789012"
REGION = "us-east-1"
DR_REGION = "us-west-2"

_BCRYPT = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def bcrypt_shaped(seed: str) -> str:
    """A text of a bcrypt hash's shape, cost 12, for an account in which nobody signs in."""
    digest = hashlib.sha512(seed.encode()).digest()
    return "$2b$12$" + "".join(_BCRYPT[b % 64] for b in digest[:53])


@dataclass(frozen=True, slots=True)
class Plan:
    """What differs from one stage to the next.

    Attributes:
        database_url: what the application uses to reach the server that stands for RDS.
        redis_url: the same for ElastiCache; in-transit encryption is on exactly when it says `rediss`, the AUTH token
            when it holds a password, so that the account never claims what the server does not do.
        hostname: the platform's public name.
        source_name: the canonical name that it points to before the cutover.
        ttl_s: seconds that this record lives in resolvers.
        version: the release that runs first; its image has this tag.
        previous: the release before it, whose task definition is there to go back to.
        releases: further releases whose images are pushed already.
        secrets: values by name: openai, admin_email, admin_password_hash.
        engine_major: PostgreSQL's.
        literal: build as the guide's commands are written, mistakes and all, over prerequisites that are right.
    """

    database_url: str = ""
    redis_url: str = ""
    hostname: str = "app.shadowtwin.example"
    source_name: str = "replit.shadowtwin.example"
    ttl_s: int = 300
    version: str = "1.0.0"
    previous: str = "0.9.0"
    releases: tuple[str, ...] = ("1.1.0",)
    secrets: Mapping[str, Any] = field(default_factory=dict)
    engine_major: int = 18
    literal: bool = False

    @property
    def database(self) -> SplitResult:
        """The database URL's parts; a made-up one where nothing answers."""
        return urlsplit(self.database_url or "postgresql://shadowtwin_app:rehearsal-only@/shadowtwin")

    @property
    def redis(self) -> SplitResult:
        """The Redis URL's parts; a made-up one where nothing answers."""
        return urlsplit(self.redis_url or "rediss://:rehearsal-only@/0")

    @property
    def repository(self) -> str:
        """The image repository's address."""
        return f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/shadowtwin"

    @property
    def expect(self) -> dict[str, Any]:
        """What the stage's account is to be, where it is not as expected by default, as a parameter file says it."""
        zone = self.hostname.partition(".")[2]
        encrypted = self.redis.scheme == "rediss"
        auth = encrypted and bool(self.redis.password)
        return {
            "rds": {"engine_major": self.engine_major, "port": self.database.port or 5432},
            "redis": {"port": self.redis.port or 6379, "transit_encryption": encrypted, "auth": auth},
            "alb": {"blue_target_group": "shadowtwin-tg-blue"},
            "acm": {"also_covers": [zone, f"www.{zone}"]},
            "secrets": {"smtp": []} if self.literal else {},
        }

    def site(self, version: str = "") -> Site:
        """Where the blueprint builds, with one release, the first one unless another is named."""
        return Site(
            name="shadowtwin",
            account=ACCOUNT,
            region=REGION,
            dr_region=DR_REGION,
            hostname=self.hostname,
            balancer="shadowtwin-alb",
            reports="shadowtwin-reports",
            image=f"{self.repository}:{version or self.version}",
            version=version or self.version,
            expect=Expectations.model_validate(self.expect),
        )


class Hands:
    """Clients of one session, made once each."""

    def __init__(self, endpoint: str, plan: Plan) -> None:
        self.endpoint, self.plan = endpoint, plan
        self._session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)
        self._config = Config(
            retries={"mode": "standard", "total_max_attempts": 1},
            s3={"addressing_style": "path"},
            proxies={},
        )
        self._clients: dict[tuple[str, str], Any] = {}

    def client(self, service: str, region: str = REGION) -> Any:
        """A client for the emulator."""
        key = (service, region)
        if key not in self._clients:
            self._clients[key] = self._session.client(
                service,  # type: ignore[call-overload]
                region_name=region,
                endpoint_url=self.endpoint,
                config=self._config,
            )
        return self._clients[key]


def manifest(version: str) -> str:
    """The manifest of an image of no content; its digest differs by version."""
    kind = "application/vnd.docker.{}"
    digest = {
        what: "sha256:" + hashlib.sha256(f"{what} {version}".encode()).hexdigest() for what in ("config", "layer")
    }
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": kind.format("distribution.manifest.v2+json"),
            "config": {"mediaType": kind.format("container.image.v1+json"), "size": 1, "digest": digest["config"]},
            "layers": [{"mediaType": kind.format("image.rootfs.diff.tar.gzip"), "size": 1, "digest": digest["layer"]}],
        }
    )
