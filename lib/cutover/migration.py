"""The typed description of one migration: `params/*.yml`, strict, with no secret in it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cutover.expectations import Expectations
from cutover.finding import RENAMED
from cutover.secrets import is_reference, resolve
from cutover.units import AccountId, Day, Duration, Endpoint, Percent, Region, SecretRef

_LOOPBACK = re.compile(r"^(127(\.\d{1,3}){3}|localhost|\[?::1\]?)$")


class Strict(BaseModel):
    """No unknown key, no coercion, no NaN, and no change after it was read."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, populate_by_name=True, hide_input_in_errors=True
    )


class Source(Strict):
    """The Replit side."""

    database_url: Endpoint
    replication_url: Endpoint | None = Field(
        default=None, description="for transfer: replicate, the database as the target's server reaches it"
    )
    redis_url: Endpoint
    app_url: Endpoint
    reports: Endpoint = Field(description="where the PDF reports lie: file:///srv/reports or s3://bucket/prefix")
    maintenance: str | None = Field(
        default=None,
        description="path of the application's maintenance switch (PUT {enabled: true} as an administrator); "
        "without one, a person switches it and the notebook checks",
    )


class Target(Strict):
    """The AWS side."""

    database_url: Endpoint
    redis_url: Endpoint
    load_balancer: str = "shadowtwin-alb"
    reports: Endpoint
    app_url: Endpoint | None = Field(default=None, description="how the balancer is reached before DNS points to it")


class Staging(Strict):
    """Where the trial transfer and the load test go; never the production target database."""

    database_url: Endpoint
    redis_url: Endpoint | None = None
    app_url: Endpoint


class Release(Strict):
    """What is deployed at T+30m."""

    image: str = Field(description="repository:tag or repository@sha256:…, never :latest")
    version: str = Field(description="what /api/health answers as `version` once it runs")

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if self.image.endswith(":latest") or (":" not in self.image.rsplit("/", 1)[-1] and "@" not in self.image):
            raise ValueError("image: pin a tag or a digest; `latest` names another image tomorrow")
        return self


class Spike(Strict):
    """A burst of visitors within a steady load."""

    after: Duration = Field(description="from the start, the warm-up included")
    lasts: Duration = Field(alias="for")
    per_s: float = Field(gt=0, le=100_000)


class Fargate(Strict):
    """Workers of the load as ECS tasks on Fargate, in the network of the service; stopped when the load is over."""

    image: str = Field(description="built from locustfiles/Dockerfile; repository:tag or @sha256:…, never :latest")
    login: SecretRef | None = Field(
        default=None, description="`secretsmanager:name[#key]` with `email:password`; `test_user` when left out"
    )
    join: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9.:\[\]-]+:[0-9]{1,5}$",
        description="host:port at which the tasks reach the master, where that is not load.master",
    )
    cpu: Literal["256", "512", "1024", "2048", "4096"] = "1024"
    memory: Annotated[str, Field(pattern=r"^[0-9]{3,6}$")] = "2048"

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if self.image.endswith(":latest") or (":" not in self.image.rsplit("/", 1)[-1] and "@" not in self.image):
            raise ValueError("load.fargate.image: pin a tag or a digest; `latest` is another image tomorrow")
        if self.login is not None and not self.login.startswith("secretsmanager:"):
            raise ValueError("load.fargate.login: secretsmanager:name; a task can read no other reference")
        return self


class Load(Strict):
    """The load test's arrivals and where they go."""

    arrivals_per_s: float = Field(default=50, gt=0, le=100_000, description="a ramp's and a stress test's first rate")
    shape: Literal["poisson", "constant", "ramp", "spike", "stress", "replay"] = Field(
        default="poisson", description="how the rate goes over time; a soak is a long `poisson`"
    )
    up_to_per_s: float | None = Field(default=None, gt=0, le=100_000, description="the last rate of ramp and stress")
    steps: int = Field(default=10, ge=2, le=1000, description="of a stress test, each as long as the others")
    spike: Spike | None = None
    replay: str | None = Field(default=None, description="a file with a time on each line")
    speed: float = Field(default=1.0, gt=0, le=1000, description="how much faster than it happened it is replayed")
    duration: Duration = timedelta(minutes=10)
    warm_up: Duration = timedelta(seconds=30)
    workers: int = Field(default=2, ge=1, le=256, description="processes that share the arrivals")
    master: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9.:\[\]-]+:[0-9]{1,5}$",
        description="host:port at which workers from other machines join; then none is started on this one",
    )
    fargate: Fargate | None = Field(default=None, description="start those workers as ECS tasks, and stop them again")
    against: Literal["staging", "target"] = "staging"
    target_is_disposable: bool = Field(
        default=False, description="load a target whose database is the day's, knowingly"
    )

    @model_validator(mode="after")
    def _shaped(self) -> Self:
        needs = {"ramp": "up_to_per_s", "stress": "up_to_per_s", "spike": "spike", "replay": "replay"}
        need = needs.get(self.shape)
        if need and getattr(self, need) is None:
            raise ValueError(f"load.shape: {self.shape} needs load.{need}")
        for given in ("up_to_per_s", "spike", "replay"):
            if getattr(self, given) is not None and given != need:
                raise ValueError(f"load.{given} says nothing with load.shape: {self.shape}; leave one of them out")
        if self.spike and self.spike.after + self.spike.lasts > self.duration:
            raise ValueError("load.spike ends after load.duration")
        if self.fargate and self.master is None:
            raise ValueError("load.fargate needs load.master: host:port of this machine, where its workers join")
        return self


class ErrorRate(Strict):
    """Error rate exceeds `above` in each window for `hold` (guide line 936)."""

    above: Percent = 0.05
    window: Duration = timedelta(minutes=1)
    hold: Duration = Field(default=timedelta(minutes=5), alias="for")


class Latency(Strict):
    """The 95th percentile exceeds `above` in each window for `hold` (guide line 937)."""

    above: Duration = timedelta(seconds=3)
    window: Duration = timedelta(minutes=1)
    hold: Duration = Field(default=timedelta(minutes=1), alias="for")


class Stalled(Strict):
    """Nothing completes while at least `in_flight` requests wait, for `hold`."""

    in_flight: int = Field(default=20, ge=1)
    hold: Duration = Field(default=timedelta(seconds=10), alias="for")


class CriticalFlows(Strict):
    """A critical user flow fails for as long as this (guide line 938)."""

    failing_for: Duration = timedelta(minutes=1)


class Database(Strict):
    """The database refuses connections for as long as this (guide line 939)."""

    unreachable_for: Duration = timedelta(seconds=30)


class EndpointTriggers(Strict):
    """Error rate and p95 of one endpoint alone, beside those of all."""

    error_rate: ErrorRate | None = None
    p95: Latency | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.error_rate is None and self.p95 is None:
            raise ValueError("per_endpoint: give an endpoint `error_rate`, `p95` or both, or leave it out")
        return self


class CompareTo(Strict):
    """A stored run that this one must not be worse than."""

    run: str = Field(description="a run with a load test: its name below outputs/, or its folder")
    p95: Percent = Field(default=0.10, description="how much higher p95 may be, relative")
    error_rate: Percent = Field(default=0.01, description="how much higher the error rate may be, percentage points")


class Triggers(Strict):
    """The rollback triggers. A window with fewer than `min_samples` requests decides nothing by itself."""

    error_rate: ErrorRate = ErrorRate()
    p95: Latency = Latency()
    stalled: Stalled = Stalled()
    critical_flows: CriticalFlows = CriticalFlows()
    database: Database = Database()
    per_endpoint: dict[str, EndpointTriggers] = Field(
        default_factory=dict, description="by the endpoint's name in the load's table, such as `GET /api/twins`"
    )
    compare_to: CompareTo | None = None
    min_samples: int = Field(default=20, ge=1)


class Watch(Strict):
    """How long the notebooks of the day look before they conclude, and how often."""

    after_cutover: Duration = timedelta(minutes=10)
    validation: Duration = timedelta(minutes=30)
    every: Duration = timedelta(seconds=10)


class Waiver(Strict):
    """A finding that a named person accepted, until a day (in the rehearsal: for one version of the emulator)."""

    id: str
    reason: Annotated[str, Field(min_length=8)]
    approved_by: Annotated[str, Field(min_length=2)]
    until: Day | None = None
    emulator: str | None = None

    @property
    def finding_id(self) -> str:
        """The id of the finding that is meant, as it is called now."""
        return RENAMED.get(self.id, self.id)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if (self.until is None) == (self.emulator is None):
            raise ValueError(
                "a waiver ends: give `until: 2026-12-31` (in the rehearsal `emulator: <version>`), one of the two"
            )
        return self


class ExpectedDifference(Strict):
    """A difference between the two catalogs that is meant, such as an owner on RDS."""

    kind: str
    object: str
    reason: Annotated[str, Field(min_length=8)]

    @model_validator(mode="after")
    def _hides_not_everything(self) -> Self:
        if not (self.kind.strip("*?") or self.object.strip("*?")):
            raise ValueError("kind and object of wildcards alone: that hides every difference; name one of the two")
        return self


class Restoring(Strict):
    """How the schema is made on the target; owners and grants that are left out here are no differences."""

    owner: bool = Field(default=False, description="restore ownership: every owner must exist, and be ours to SET ROLE")
    acl: bool = Field(default=True, description="restore grants and default privileges: their roles must exist")
    role: str | None = Field(default=None, description="become this role, so that it owns everything")
    settings: dict[Annotated[str, Field(pattern=r"^[a-z_.]+$")], str] = Field(
        default_factory=dict, description='of the restoring sessions: {maintenance_work_mem: "1GB"}'
    )


class Migration(Strict):
    """One migration, as the top-level key `migration` of a parameter file describes it."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,30}$")]
    environment: Literal["rehearsal", "staging", "production"]
    account_id: AccountId
    region: Region
    dr_region: Region
    compute: Literal["ecs", "ec2"] = "ecs"
    transfer: Literal["dump", "replicate"] = "dump"
    via: Annotated[str, Field(pattern=r"^(direct|ssm:i-[0-9a-f]+|ecs-task)$")] = "direct"
    hostname: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+\.[A-Za-z]{2,}$")]
    contacts: dict[str, str] = Field(min_length=1)
    source: Source
    target: Target
    staging: Staging | None = None
    release: Release
    test_user: SecretRef = Field(description="`email:password` of the user for the critical flows")
    admin_user: SecretRef | None = Field(default=None, description="`email:password` of an administrator")
    state: str = "outputs/state"
    restore: Restoring = Restoring()
    backups: Endpoint = Field(
        default="file:///var/backups/cutover", description="folder for database dumps: private, never under outputs/"
    )
    expect: Expectations = Expectations()
    requirements: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")], ...] = Field(
        default=(),
        strict=False,
        description="installed packages whose own requirements of the account are looked at, too; no other is loaded",
    )
    load: Load = Load()
    triggers: Triggers = Triggers()
    watch: Watch = Watch()
    waivers: tuple[Waiver, ...] = Field(default=(), strict=False)
    expected_differences: tuple[ExpectedDifference, ...] = Field(default=(), strict=False)
    aws_endpoint: Endpoint | None = Field(default=None, description="the emulator; `environment: rehearsal` only")
    resolvers: tuple[Endpoint, ...] = Field(
        default=(), strict=False, description="DNS servers to ask, `address` or `address:port`; the system's when empty"
    )

    @model_validator(mode="after")
    def _each_package_once(self) -> Self:
        names = [re.sub(r"[-_.]+", "-", name).lower() for name in self.requirements]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"requirements: {', '.join(twice)} stands there twice; name each package once")
        return self

    @model_validator(mode="after")
    def _rehearsal_stays_at_home(self) -> Self:
        endpoints = [self.source.database_url, self.source.redis_url, self.source.app_url]
        endpoints += [self.target.database_url, self.target.redis_url, self.target.app_url or ""]
        endpoints += [self.aws_endpoint or "", *self.resolvers]
        if self.staging:
            endpoints += [self.staging.database_url, self.staging.redis_url or "", self.staging.app_url]
        if self.environment == "rehearsal":
            if not self.aws_endpoint:
                raise ValueError("environment: rehearsal needs aws_endpoint, the emulator's address on loopback")
            for endpoint in filter(None, endpoints):
                require_loopback(endpoint)
            if self.account_id != REHEARSAL_ACCOUNT:
                raise ValueError(f'environment: rehearsal uses the emulator\'s account_id "{REHEARSAL_ACCOUNT}"')
        else:
            if self.aws_endpoint:
                raise ValueError(f"environment: {self.environment} goes to AWS itself: remove aws_endpoint")
            staged = [e for e in [*endpoints, self.test_user, self.admin_user or ""] if e.startswith("stage:")]
            if staged:
                raise ValueError(f"environment: {self.environment} cannot use the rehearsal's endpoint {staged[0]}")
            if any(w.emulator for w in self.waivers):
                raise ValueError(f"environment: {self.environment} needs waivers with `until`, not `emulator`")
        return self

    def resolve(self, reference: str) -> str:
        """The value behind one of this migration's references; in the rehearsal it must be on loopback.

        Raises:
            SecretError: nothing stands behind it.
            ValueError: a rehearsal's endpoint that is not on loopback.
        """
        endpoint = resolve(self.aws_endpoint) if self.aws_endpoint else None
        value = resolve(reference, region=self.region, endpoint=endpoint)
        if self.environment == "rehearsal" and "://" in value:
            require_loopback(value)
        return value

    @property
    def endpoint(self) -> str | None:
        """The AWS endpoint override: the emulator's address in the rehearsal, None elsewhere."""
        return resolve(self.aws_endpoint) if self.aws_endpoint else None

    def waiver_for(self, finding_id: str, *, now: datetime, emulator: str | None = None) -> Waiver | None:
        """The waiver that holds for a finding now, or None; an expired one does not."""
        for waiver in self.waivers:
            if waiver.finding_id != finding_id:
                continue
            if waiver.until and now.astimezone(UTC).date() <= waiver.until:
                return waiver
            if waiver.emulator and waiver.emulator == emulator:
                return waiver
        return None


REHEARSAL_ACCOUNT = "123456789012"
"""The account that the emulator is: a rehearsal against any other is refused."""


def require_loopback(endpoint: str) -> None:
    """Refuse an endpoint of a rehearsal that is not on this machine.

    Raises:
        ValueError: `endpoint` is a URL, or `host[:port]`, whose host is not a loopback address.
    """
    if is_reference(endpoint) or endpoint.startswith(("file://", "s3://")):
        return
    if re.search(r"[?&](host|hostaddr|service)=", endpoint):
        raise ValueError("environment: rehearsal: name the host before the ?, not in the query of the URL")
    address = endpoint.split("://", 1)[-1].rsplit("@", 1)[-1].split("/", 1)[0].split("?", 1)[0]
    host = address if address.startswith("[") else address.rsplit(":", 1)[0] if ":" in address else address
    host = host.split("]")[0].lstrip("[") if host.startswith("[") else host
    if not _LOOPBACK.match(host):
        raise ValueError(f"environment: rehearsal uses loopback addresses only (127.0.0.0/8), not {host!r}")
