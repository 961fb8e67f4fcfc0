"""The application's configuration, from its environment: the guide's variables and those of the rehearsal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says.

    Attributes:
        database_url: PostgreSQL (DATABASE_URL).
        redis_url: Redis (REDIS_URL); empty means not configured.
        reports: where PDFs lie (REPORTS): `file:///folder` or `s3://bucket/prefix`.
        admin_email, admin_password_hash: the administrator (ADMIN_EMAIL, ADMIN_PASSWORD_HASH, bcrypt).
        version: what /api/health answers (APP_VERSION).
        aws_endpoint: the emulator (AWS_ENDPOINT_URL).
        region: AWS_REGION or AWS_DEFAULT_REGION.
        faults_file: FAULTS_FILE.
        openai: whether OPENAI_API_KEY is set; its value is never kept.
    """

    database_url: str
    redis_url: str
    reports: str
    admin_email: str
    admin_password_hash: str
    version: str = "unknown"
    aws_endpoint: str | None = None
    region: str = "us-east-1"
    faults_file: str | None = None
    openai: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the environment; what is missing stays empty, as in a container without its secrets."""
        get = environment.get
        return cls(
            database_url=get("DATABASE_URL", ""),
            redis_url=get("REDIS_URL", ""),
            reports=get("REPORTS", ""),
            admin_email=get("ADMIN_EMAIL", ""),
            admin_password_hash=get("ADMIN_PASSWORD_HASH", ""),
            version=get("APP_VERSION") or "unknown",
            aws_endpoint=get("AWS_ENDPOINT_URL") or None,
            region=get("AWS_REGION") or get("AWS_DEFAULT_REGION") or "us-east-1",
            faults_file=get("FAULTS_FILE") or None,
            openai=bool(get("OPENAI_API_KEY")),
        )
