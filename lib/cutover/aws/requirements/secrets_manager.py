"""The secrets: that they are there, current and of the right shape. Values are never seen here, only their shape."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from cutover.aws.requirements.answers import Absent, Ask, NotApplicable, NotThere, Unreadable
from cutover.aws.requirements.network import Subnets, Vpc
from cutover.aws.requirements.policies import is_everyone, statements
from cutover.aws.requirements.rds import Instance
from cutover.aws.requirements.redis import ReplicationGroup
from cutover.aws.requirements.requirement import (
    BLOCKER,
    FAIL,
    HIGH,
    LOW,
    MEDIUM,
    Outcome,
    at_most,
    holds,
    judged,
    requirement,
)
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.expectations import RdsExpectation, SecretsExpectation
from cutover.urls import HOW_TO_WRITE


class Secret(View):
    """One secret's description; a subclass says which."""

    expectation: str = ""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By name."""
        name = getattr(stack.expect.secrets, cls.expectation)
        return Ask("secretsmanager", "describe_secret", {"SecretId": name}, f"secret {name}", name=name)


class DatabaseSecret(Secret):
    """DATABASE_URL."""

    expectation = "database"


class RedisSecret(Secret):
    """REDIS_URL."""

    expectation = "redis"


class OpenAiSecret(Secret):
    """OPENAI_API_KEY."""

    expectation = "openai"


class AdminEmailSecret(Secret):
    """ADMIN_EMAIL."""

    expectation = "admin_email"


class AdminHashSecret(Secret):
    """ADMIN_PASSWORD_HASH."""

    expectation = "admin_password_hash"


class SecretShape(View):
    """The shape of one secret's value; a subclass says which."""

    expectation: str = ""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """The value is replaced by its shape before anything sees it."""
        name = getattr(stack.expect.secrets, cls.expectation)
        return Ask("secretsmanager", "get_secret_value", {"SecretId": name}, f"secret {name}", name=name)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """The facts alone."""
        whole = super().read(stack)
        facts = whole.get("SecretFacts")
        if not isinstance(facts, dict):
            raise Unreadable(f"{whole.subject} holds no text", evidence=whole.evidence)
        return cls(facts, whole.subject, whole)


class DatabaseUrl(SecretShape):
    """Where DATABASE_URL leads."""

    expectation = "database"


class RedisUrl(SecretShape):
    """Where REDIS_URL leads."""

    expectation = "redis"


class AdminHash(SecretShape):
    """What kind of hash ADMIN_PASSWORD_HASH is."""

    expectation = "admin_password_hash"


def _current(secret: Secret) -> Outcome:
    stages = [s for stages in dict(secret.get("VersionIdsToStages") or {}).values() for s in stages]
    deleted = secret.get("DeletedDate")
    return judged(
        "AWSCURRENT" in stages and not deleted,
        expected="a current version, not scheduled for deletion",
        observed=f"scheduled for deletion {deleted}" if deleted else stages,
        remedy=f"aws secretsmanager restore-secret --secret-id {secret.subject}"
        if deleted
        else f"aws secretsmanager put-secret-value --secret-id {secret.subject} --secret-string file://value",
    )


@requirement("SEC-01", title="The database secret exists", severity=BLOCKER, guide=452)
def database_secret(secret: DatabaseSecret) -> Outcome:
    """A task whose secret is missing never starts."""
    return _current(secret)


@requirement("SEC-02", title="The Redis secret exists", severity=BLOCKER, guide=456)
def redis_secret(secret: RedisSecret) -> Outcome:
    """A task whose secret is missing never starts."""
    return _current(secret)


@requirement("SEC-03", title="The OpenAI key secret exists", severity=BLOCKER, guide=460)
def openai_secret(secret: OpenAiSecret) -> Outcome:
    """A task whose secret is missing never starts."""
    return _current(secret)


@requirement("SEC-04", title="The administrator's e-mail secret exists", severity=BLOCKER, guide=464)
def admin_email_secret(secret: AdminEmailSecret) -> Outcome:
    """A task whose secret is missing never starts."""
    return _current(secret)


@requirement("SEC-05", title="The administrator's password hash secret exists", severity=BLOCKER, guide=468)
def admin_hash_secret(secret: AdminHashSecret) -> Outcome:
    """A task whose secret is missing never starts."""
    return _current(secret)


class SmtpSecrets(View):
    """The secrets that hold the SMTP variables."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """All of them; one that is missing is MISSING."""
        answers = [
            stack.need("secretsmanager", "describe_secret", SecretId=n, missing=f"no secret {n}")
            for n in stack.expect.secrets.smtp
        ]
        if not answers:
            raise NotThere("expect.secrets.smtp names no secret")
        return cls({"secrets": [dict(a.data) for a in answers]}, ", ".join(stack.expect.secrets.smtp), *answers)


@requirement("SEC-06", title="The mail server's settings are stored", severity=HIGH, guide=475)
def smtp_secrets(secrets: SmtpSecrets) -> Outcome:
    """The guide demands five SMTP variables and creates none: no mail leaves the platform."""
    bad = [
        s.get("Name", "") for s in secrets.rows("secrets") if s.get("DeletedDate") or not s.get("VersionIdsToStages")
    ]
    return judged(not bad, expected="all with a current version", observed=bad or secrets.subject)


@requirement("SEC-07", title="The database's password rotates", severity=HIGH, guide=1033, absent=FAIL)
def rotation_is_on(secret: DatabaseSecret, expect: SecretsExpectation) -> Outcome:
    """The guide's schedule says every 30 days, automatically."""
    days = secret.number("RotationRules.AutomaticallyAfterDays")
    function = secret.get("RotationLambdaARN") or ("managed" if secret.get("OwningService") else "")
    return judged(
        secret.flag("RotationEnabled") and days <= expect.rotation_days and bool(function),
        expected=f"on, every {expect.rotation_days} days at most, by a function",
        observed=f"{secret.flag('RotationEnabled')}, every {days:g} days, by {function or 'nothing'}",
    )


@requirement("SEC-08", title="The next rotation is known", severity=HIGH, guide=1080, absent=FAIL)
def rotation_is_recent(secret: DatabaseSecret, stack: Stack, expect: SecretsExpectation) -> Outcome:
    """A rotation that failed stays silent until the password is needed."""
    next_one = secret.moment("NextRotationDate")
    last = secret.get("LastRotatedDate") or secret.get("LastChangedDate") or secret.get("CreatedDate")
    age = stack.now - View({"t": last}, "").moment("t")
    return judged(
        age <= timedelta(days=expect.rotation_days) and next_one > stack.now - timedelta(days=1),
        expected=f"changed in the last {expect.rotation_days} days, the next one planned",
        observed=f"{age.days} days ago, next {next_one:%Y-%m-%d}",
    )


@requirement("SEC-09", title="Redis and administrator passwords were rotated recently", severity=MEDIUM, guide=1081)
def manual_rotation(redis: RedisSecret, admin: AdminHashSecret, stack: Stack, expect: SecretsExpectation) -> Outcome:
    """Their rotation is done by hand, so it is forgotten by hand."""
    ages = {s.subject: (stack.now - s.moment("LastChangedDate")).days for s in (redis, admin)}
    worst = max(ages.values())
    return at_most(worst, expect.manual_rotation_days, unit=" days", why=f"the oldest of {', '.join(ages)}")


def _not_encoded(url: SecretShape, expected: str) -> Outcome:
    """A URL that one program reads otherwise than another: the password has a `/`, `#`, `?` or `@` in it."""
    return judged(
        False,
        expected=f"{expected}, its password percent-encoded",
        observed=f"a URL that can be read in several ways: {url.text('unreadable')}",
        remedy=f"aws secretsmanager put-secret-value --secret-id {url.subject} --secret-string file://value   # "
        + HOW_TO_WRITE,
    )


@requirement("SEC-10", title="DATABASE_URL leads to a PostgreSQL database", severity=BLOCKER, guide=453)
def database_url(url: DatabaseUrl, rds: RdsExpectation, expect: SecretsExpectation) -> Outcome:
    """The application cannot start with anything else; the value itself is never shown."""
    if url.get("unreadable"):
        return _not_encoded(url, "postgresql://user:…@host:port/database")
    if not url.get("host"):
        return judged(
            False, expected="postgresql://user:…@host:port/database", observed=f"a {url.text('kind')} without a host"
        )
    mode = str(url.get("sslmode") or "")
    mode_ok = mode in expect.sslmodes if expect.sslmodes else mode not in ("disable", "allow")
    seen = [url.text("scheme"), str(url.get("port") or ""), str(url.get("database") or "")]
    right = seen[0] in ("postgresql", "postgres") and seen[1] in (str(rds.port), "") and seen[2] == rds.database
    return judged(
        right and mode_ok and bool(url.get("has_password")),
        expected=f"postgresql, port {rds.port}, database {rds.database}, a password, TLS not switched off",
        observed=f"{seen[0]}, port {seen[1] or 'default'}, database {seen[2] or 'none'}, "
        f"{'a' if url.get('has_password') else 'no'} password, sslmode {mode or 'not said'}",
        remedy=f"aws secretsmanager put-secret-value --secret-id {url.subject} --secret-string file://value",
    )


@requirement("SEC-11", title="REDIS_URL speaks TLS where the queue does", severity=BLOCKER, guide=458)
def redis_url(url: RedisUrl, redis: ReplicationGroup) -> Outcome:
    """The guide's redis:// against an encrypted group hangs until it times out."""
    wanted = "rediss" if redis.flag("TransitEncryptionEnabled") else "redis"
    if url.get("unreadable"):
        return _not_encoded(url, f"{wanted}://:…@host:port/0")
    return holds(
        str(url.get("scheme") or "no URL"),
        expected=wanted,
        remedy=f"aws secretsmanager put-secret-value --secret-id {url.subject} --secret-string file://value   # {wanted}://…",
    )


@requirement("SEC-12", title="The administrator's password is a bcrypt hash", severity=HIGH, guide=481)
def admin_hash(shape: AdminHash, expect: SecretsExpectation) -> Outcome:
    """In double quotes the shell eats `$2b$12$…`: what is stored is then no hash, and nobody can sign in."""
    cost = shape.get("bcrypt_cost")
    return judged(
        cost == expect.bcrypt_cost,
        expected=f"bcrypt, cost {expect.bcrypt_cost}",
        observed=f"bcrypt, cost {cost}" if cost is not None else "no bcrypt hash",
        remedy=f"aws secretsmanager put-secret-value --secret-id {shape.subject} --secret-string file://hash",
    )


@requirement("SEC-13", title="No rotation is stuck", severity=LOW)
def nothing_pending(secret: DatabaseSecret) -> Outcome:
    """A version that stays AWSPENDING is a rotation that failed half-way."""
    stages = dict(secret.need("VersionIdsToStages"))
    if not stages:
        raise Absent("VersionIdsToStages")
    stuck = [v for v, s in stages.items() if "AWSPENDING" in s and "AWSCURRENT" not in s]
    return judged(not stuck, expected="no lone AWSPENDING", observed=stuck or "none")


@requirement("RDS-34", title="DATABASE_URL points to the instance", severity=BLOCKER, guide=453)
def url_points_to_instance(url: DatabaseUrl, rds: Instance) -> Outcome:
    """With another host, the application writes into another database than the one that was migrated."""
    return holds(
        url.text("host"),
        expected=rds.text("Endpoint.Address"),
        subject=rds.subject,
        remedy=f"aws secretsmanager put-secret-value --secret-id {url.subject} --secret-string file://value"
        f"   # host {rds.text('Endpoint.Address')}",
    )


@requirement("RED-12", title="REDIS_URL points to the primary", severity=BLOCKER, guide=458)
def url_points_to_primary(url: RedisUrl, redis: ReplicationGroup) -> Outcome:
    """A replica's endpoint refuses every write of the queue."""
    primary = redis.primary
    return holds(
        url.text("host"),
        expected=primary,
        subject=redis.subject,
        remedy=f"aws secretsmanager put-secret-value --secret-id {url.subject} --secret-string file://value"
        f"   # host {primary}",
    )


class SecretPolicy(View):
    """The resource policy of the database's secret."""

    needs = (DatabaseSecret,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is an answer: then only this account may."""
        secret = stack.view(DatabaseSecret)
        wanted = {"SecretId": secret.subject}
        return Ask("secretsmanager", "get_resource_policy", wanted, name=secret.subject, after=(secret,))


@requirement("SEC-14", title="Nobody outside the account may read the database's secret", severity=MEDIUM)
def secret_is_private(policy: SecretPolicy) -> Outcome:
    """A resource policy of `*` hands the database to the world; a key of another account can be taken away."""
    open_to = [
        s for s in statements(policy.get("ResourcePolicy") or {})
        if s.get("Effect") == "Allow" and is_everyone(s.get("Principal")) and not s.get("Condition")
    ]  # fmt: skip
    return judged(
        not open_to,
        expected="no policy, or one that names principals",
        observed=f"{len(open_to)} statements for everyone" if open_to else "none for everyone",
        remedy=f"aws secretsmanager delete-resource-policy --secret-id {policy.subject}",
    )


class RotationFunction(View):
    """The function that rotates the database's password."""

    needs = (DatabaseSecret,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By the ARN that the secret names."""
        secret = stack.view(DatabaseSecret)
        if secret.get("OwningService"):
            raise NotApplicable(f"{secret.get('OwningService')} rotates this secret itself")
        arn = secret.get("RotationLambdaARN")
        if not arn:
            raise NotThere(f"{secret.subject} names no rotation function", evidence=secret.evidence)
        return Ask(
            "lambda",
            "get_function_configuration",
            {"FunctionName": arn},
            f"function {arn}",
            subject="FunctionArn",
            name=str(arn),
            after=(secret,),
        )


@requirement("SEC-15", title="The rotation function can reach the database", severity=MEDIUM, guide=1035)
def rotation_function(function: RotationFunction, vpc: Vpc, subnets: Subnets) -> Outcome:
    """Outside the VPC it cannot reach a private database: every rotation fails half-way."""
    state = str(function.get("State") or "Active")
    standing = set(function.get("VpcConfig.SubnetIds") or [])
    inside = standing & {s["SubnetId"] for s in subnets.rows("Subnets")}
    return judged(
        state == "Active" and bool(inside) and inside == standing,
        expected=f"Active, in subnets of {vpc.subject}",
        observed=f"{state}, in {', '.join(sorted(standing)) or 'no VPC'}",
        remedy=f"aws lambda update-function-configuration --function-name {function.subject} --vpc-config "
        f"SubnetIds={','.join(sorted(subnets.ids('private')))},SecurityGroupIds=<the tasks' group>",
    )
