"""What the architecture should look like: names, sizes and settings; defaults are the corrected guide's.

A parameter file overrides any of it under `expect:`, section by section. Where a default departs from the guide's text,
the field's description says why.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Names = Annotated[tuple[str, ...], Field(strict=False)]
Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Section(BaseModel):
    """One service's expectations: no unknown key, no coercion, no change after it was read."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class AccountExpectation(Section):
    """What concerns the account as a whole."""

    reads: Names = Field(
        default=(
            "ecs:DescribeServices",
            "rds:DescribeDBInstances",
            "elasticache:DescribeReplicationGroups",
            "elasticloadbalancing:DescribeLoadBalancers",
            "elasticloadbalancing:DescribeTargetHealth",
            "route53:ListHostedZones",
            "cloudwatch:GetMetricData",
            "cloudwatch:DescribeAlarms",
            "application-autoscaling:DescribeScalableTargets",
            "acm:DescribeCertificate",
            "ecr:DescribeImages",
            "logs:FilterLogEvents",
        ),
        description="what the caller must be allowed to read; the guide's policy (line 97) lacks half of it",
    )
    changes: Names = Field(
        default=(
            "ecs:UpdateService",
            "ecs:RegisterTaskDefinition",
            "iam:PassRole",
            "rds:CreateDBSnapshot",
            "secretsmanager:GetSecretValue",
            "route53:ChangeResourceRecordSets",
            "route53:ListResourceRecordSets",
        ),
        description="what the caller must be allowed to do with the stack's own resources",
    )
    fargate_vcpu: float = Field(
        default=40,
        ge=0,
        description="20 tasks of 1 vCPU, twice while a roll-out replaces them (guide lines 336, 406, 542)",
    )
    budget: bool = Field(default=True, description="a budget exists for the month's cost")
    monthly_usd: float = Field(default=320, gt=0, description="what the guide expects a month to cost (lines 712-724)")
    project_tag: str = Field(default="shadowtwin", description="value of the tag Project on every resource")


class NetworkExpectation(Section):
    """VPC, subnets and security groups."""

    vpc: Name = Field(default="shadowtwin-vpc", description="the VPC's Name tag, or its id (vpc-…)")
    availability_zones: Count = Field(default=2, description="at least this many in each tier (guide line 84)")
    free_addresses: Count = Field(
        default=40, description="free addresses in private subnets: 20 tasks, twice in a roll-out"
    )
    alb_group: Name = "shadowtwin-alb-sg"
    ecs_group: Name = "shadowtwin-ecs-sg"
    rds_group: Name = "shadowtwin-rds-sg"
    redis_group: Name = Field(default="shadowtwin-redis-sg", description="the guide omits it: 6379 from the tasks")


class RdsExpectation(Section):
    """The PostgreSQL instance."""

    instance: Name = "shadowtwin-prod"
    engine_major: int | None = Field(
        default=None,
        ge=10,
        description="the engine's major version; nothing means at least the source's (a dump does not restore into an "
        "older major, and the guide's 15 may be older than what the source runs)",
    )
    source_major: int | None = Field(default=None, ge=10, description="the source's major, when it is known")
    classes: Names = Field(
        default=("db.t3.medium", "db.t3.large", "db.m6g.large", "db.r6g.large", "db.r6g.xlarge"),
        description="db.t3.medium or larger (guide lines 132, 151)",
    )
    storage_gib: Count = 100
    storage_type: Name = "gp3"
    iops: Count = 3000
    multi_az: bool = True
    backup_retention_days: Count = Field(default=7, description="at least; 35 at most (guide lines 141, 155, 686)")
    backup_window: str = "03:00-04:00"
    security_group: Name = "shadowtwin-rds-sg"
    subnet_group: Name = "shadowtwin-db-subnet"
    master_user: Name = "shadowtwin_admin"
    database: Name = "shadowtwin"
    port: Port = 5432
    read_replica: str | None = Field(
        default=None, description="shadowtwin-read-replica; optional in the guide (line 182)"
    )
    dr_replica: str | None = Field(default="shadowtwin-dr-replica", description="in the second region (guide line 702)")
    snapshot_prefix: Name = Field(default="shadowtwin-pre-migration-", description="of the snapshot of the day")
    minor_upgrades: bool | None = Field(default=None, description="AutoMinorVersionUpgrade; nothing: only recorded")
    certificate_days: Count = Field(default=365, description="the CA certificate lasts at least this long")


class RedisExpectation(Section):
    """The ElastiCache replication group; the queue lives in it."""

    replication_group: Name = "shadowtwin-redis-cluster"
    members: Count = 2
    node_types: Names = ("cache.r6g.large", "cache.r6g.xlarge", "cache.r7g.large")
    engine_major: Count = Field(
        default=7, description="redis 7.0 in the guide; Valkey 7.2 and later are the same protocol"
    )
    engine: Name = Field(default="valkey", description="what is created: valkey, or redis as in the guide")
    engine_version: Name = Field(
        default="8.1", description="what is created; its parameter group is of this engine and major"
    )
    subnet_group: Name = "shadowtwin-cache-subnet"
    security_group: Name = "shadowtwin-redis-sg"
    port: Port = 6379
    transit_encryption: bool = Field(
        default=True,
        description="false declares that this environment speaks plain Redis: RED-07 is then not applicable",
    )
    auth: bool = Field(
        default=True, description="an AUTH token or a user group; the guide rotates a password it never sets"
    )
    cluster_mode: bool = False
    maxmemory_policy: Name = Field(
        default="noeviction", description="BullMQ loses jobs with any other (default: volatile-lru)"
    )
    snapshot_retention_days: Count = 1
    single_node: str | None = Field(
        default=None, description="shadowtwin-redis: the guide's development variant instead of a replication group"
    )
    single_node_type: Name = "cache.t3.small"


class SecretsExpectation(Section):
    """Secrets Manager; only shapes are ever looked at, never shown."""

    database: Name = "shadowtwin/database"
    redis: Name = "shadowtwin/redis"
    openai: Name = "shadowtwin/openai"
    admin_email: Name = "shadowtwin/admin-email"
    admin_password_hash: Name = "shadowtwin/admin-password-hash"  # noqa: S105 - a name
    smtp: Names = Field(
        default=("shadowtwin/smtp",),
        description="the guide demands five SMTP variables (line 482) and creates none; one JSON secret holds them",
    )
    bcrypt_cost: Count = 12
    rotation_days: Count = Field(default=30, description="of the database's password (guide line 1080)")
    manual_rotation_days: Count = Field(default=90, description="of Redis and administrator passwords (line 1081)")
    sslmodes: Names = Field(
        default=(), description="accepted sslmode of DATABASE_URL; nothing accepts all but `disable` and `allow`"
    )


class EcrExpectation(Section):
    """The image repository."""

    repository: Name = "shadowtwin"
    encryption: Names = ("AES256", "KMS")


class AcmExpectation(Section):
    """The certificate of the public name."""

    days_left: Count = Field(default=30, description="the certificate lasts at least this long")
    also_covers: Names = Field(default=(), description="further names, such as www.…")


class AlbExpectation(Section):
    """Load balancer, target group and listeners; the balancer's name is `target.load_balancer`."""

    scheme: Name = "internet-facing"
    target_group: Name = "shadowtwin-tg"
    blue_target_group: str | None = Field(default=None, description="shadowtwin-tg-blue, when there is a second one")
    health_path: str = "/api/health"
    health_interval_s: Count = 30
    health_timeout_s: Count = 5
    healthy_threshold: Count = 2
    unhealthy_threshold: Count = 3
    matcher: str = "200"
    idle_timeout_s: Count = Field(default=60, description="below the application's keep-alive (65 s), or sporadic 502s")
    deregistration_delay_s: Count = Field(default=60, description="at most; the default 300 s slows every way back")
    weak_tls_policies: Names = Field(
        default=(
            "ELBSecurityPolicy-2016-08",
            "ELBSecurityPolicy-2015-05",
            "ELBSecurityPolicy-TLS-1-0-2015-04",
            "ELBSecurityPolicy-TLS-1-1-2017-01",
            "ELBSecurityPolicy-FS-2018-06",
            "ELBSecurityPolicy-FS-1-1-2019-08",
            "ELBSecurityPolicy-TLS13-1-0-2021-06",
            "ELBSecurityPolicy-TLS13-1-1-2021-06",
        ),
        description="policies that still speak TLS 1.0 or 1.1; the API's default is one of them",
    )


class EcsExpectation(Section):
    """Cluster, service, task definition, container and port."""

    cluster: Name = "shadowtwin-cluster"
    service: Name = "shadowtwin-service"
    task_definition: Name = "shadowtwin"
    container: Name = "shadowtwin"
    port: Port = 5000
    cpu: Name = "1024"
    memory: Name = "2048"
    execution_role: Name = "ecsTaskExecutionRole"
    task_role: Name = "shadowtwinTaskRole"
    desired_count: Count = 2
    environment: dict[str, str] = Field(default={"NODE_ENV": "production", "PORT": "5000"})
    secrets: Names = ("DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY", "ADMIN_EMAIL", "ADMIN_PASSWORD_HASH")
    smtp: Names = ("SMTP_HOST", "SMTP_PORT", "SMTP_USER", "SMTP_PASS", "SMTP_FROM")
    health_check: tuple[Count, Count, Count, Count] = Field(
        default=(30, 5, 3, 60), strict=False, description="interval, timeout, retries, start period (s)"
    )
    absent_tools: Names = Field(
        default=("curl",),
        description="what the image does not hold: node:*-alpine has no curl, so the guide's command never passes",
    )
    maximum_percent: Count = 200
    minimum_healthy_percent: Count = 100
    grace_period_s: Count = 60
    keep_alive_s: Count = Field(
        default=65, description="server.keepAliveTimeout of the application: above the balancer's idle timeout"
    )
    pool: Count = Field(default=10, description="connections to PostgreSQL that one task's pool may open")


class ScalingExpectation(Section):
    """Application Auto Scaling of the service."""

    minimum: Count = 2
    maximum: Count = 20
    cpu_policy: Name = "shadowtwin-cpu-scaling"
    cpu_target: float = 70.0
    memory_policy: Name = "shadowtwin-memory-scaling"
    memory_target: float = 75.0
    scale_out_cooldown_s: Count = 60
    scale_in_cooldown_s: Count = 300


class AlarmsExpectation(Section):
    """CloudWatch alarms, the topic that carries them, the dashboard."""

    topic: Name = "alerts"
    cpu: Name = "shadowtwin-high-cpu"
    cpu_above: float = 85.0
    database: Name = "shadowtwin-db-connections"
    connections_above: float = 80.0
    latency: Name = Field(
        default="shadowtwin-p95-latency", description="the rollback criterion of line 937 has no alarm"
    )
    latency_above_s: float = 3.0
    errors: Name = Field(default="shadowtwin-error-rate", description="the rollback criterion of line 936 has no alarm")
    errors_above_percent: float = 5.0
    rollback: Name = Field(default="shadowtwin-rollback", description="composite alarm over the rollback criteria")
    period_s: Count = 300
    evaluation_periods: Count = 2
    dashboard: Name = "shadowtwin"


class LogsExpectation(Section):
    """CloudWatch Logs."""

    group: Name = "/ecs/shadowtwin"
    stream_prefix: Name = "ecs"
    retention_days: Count = 30
    fresh_minutes: Count = Field(default=5, description="the newest line is at most this old while tasks run")
    errors_an_hour: Count = Field(default=10, description="lines with ERROR since the hour before, at most")


class DnsExpectation(Section):
    """Route 53; the record is `hostname`."""

    zone: str | None = Field(
        default=None, description="the hosted zone's name; nothing: the longest that holds `hostname`"
    )
    ttl_s: Count = Field(default=60, description="before the cutover; lowered at least one old TTL earlier")
    external: bool = Field(default=False, description="DNS lives outside Route 53: a person looks")


class CdnExpectation(Section):
    """CloudFront, where it stands before the balancer."""

    enabled: bool = True
    exclusive: bool = Field(
        default=False,
        description="the public name leads to CloudFront, and the balancer takes nobody else; the guide's DNS step "
        "leads to the balancer, which must then stay open to all",
    )
    minimum_tls: Names = ("TLSv1.2_2021", "TLSv1.2_2025", "TLSv1.3_2025")


class S3Expectation(Section):
    """The report bucket; its name is that of `target.reports` unless it is given here."""

    bucket: str | None = None


class IamExpectation(Section):
    """Roles; the names of the task's two roles stand in the `ecs` section."""

    execution_policy: Name = "AmazonECSTaskExecutionRolePolicy"
    key_days: Count = Field(default=90, description="no access key is older")
    oidc_provider: str = Field(default="token.actions.githubusercontent.com", description="how the pipeline signs in")


class Ec2Expectation(Section):
    """The guide's option A; looked at only when `compute: ec2`."""

    instance_name: Name = "shadowtwin-app"
    types: Names = ("t3.medium", "t3.large", "c6i.xlarge", "c6i.2xlarge")
    instance_profile: Name = "ShadowTwinEC2Role"
    starts_with: Names = Field(
        default=("npm ci", "npm run build", "pm2 start", "pm2 startup", "pm2 save"),
        description="what the user data must run (guide lines 214-247): PM2 brings the application back after a reboot",
    )


class BuildExpectation(Section):
    """The application's own repository; nothing is looked at where no file is named."""

    dockerfile: str | None = Field(default=None, description="path of the Dockerfile")
    workflow: str | None = Field(default=None, description="path of .github/workflows/deploy.yml")
    users: Names = Field(default=("nodejs", "node", "1001"), description="users that the image may run as")
    production_branch: Name = "main"
    automatic_branches: Names = Field(default=("develop", "staging"), description="what a push may deploy (line 881)")


class Expectations(Section):
    """All expectations, a section for each service."""

    account: AccountExpectation = AccountExpectation()
    network: NetworkExpectation = NetworkExpectation()
    rds: RdsExpectation = RdsExpectation()
    redis: RedisExpectation = RedisExpectation()
    secrets: SecretsExpectation = SecretsExpectation()
    ecr: EcrExpectation = EcrExpectation()
    acm: AcmExpectation = AcmExpectation()
    alb: AlbExpectation = AlbExpectation()
    ecs: EcsExpectation = EcsExpectation()
    scaling: ScalingExpectation = ScalingExpectation()
    alarms: AlarmsExpectation = AlarmsExpectation()
    logs: LogsExpectation = LogsExpectation()
    dns: DnsExpectation = DnsExpectation()
    cdn: CdnExpectation = CdnExpectation()
    s3: S3Expectation = S3Expectation()
    iam: IamExpectation = IamExpectation()
    ec2: Ec2Expectation = Ec2Expectation()
    build: BuildExpectation = BuildExpectation()
