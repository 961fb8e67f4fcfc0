"""The one way to make a client of AWS: service, region, endpoint, time-outs.

With an endpoint it is the rehearsal's emulator that answers: it gets dummy credentials, and nothing of the user's own
set-up (profile, files, proxies) is even read. boto3 is slow to import: that waits for the first client.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import boto3

DUMMY = "rehearsal"
"""Key and secret for the emulator."""


def session(region: str | None = None, endpoint: str | None = None) -> boto3.Session:
    """A session: the user's own, or with an endpoint one that knows dummy credentials only."""
    import boto3  # noqa: PLC0415 - slow to import, and most commands need no AWS
    import botocore.session  # noqa: PLC0415

    unread = {"profile": None, "config_file": os.devnull, "credentials_file": os.devnull} if endpoint else {}
    core = botocore.session.Session(session_vars={name: (None, None, value, None) for name, value in unread.items()})
    core.register_component("data_loader", loader())
    dummy = DUMMY if endpoint else None
    return boto3.Session(
        aws_access_key_id=dummy, aws_secret_access_key=dummy, region_name=region, botocore_session=core
    )


def client(
    service: str,
    *,
    region: str | None = None,
    endpoint: str | None = None,
    connect_s: float = 5.0,
    read_s: float = 30.0,
    attempts: int = 5,
    connections: int = 10,
    within: boto3.Session | None = None,
) -> Any:
    """A boto3 client with standard retries; endpoints that the environment or a profile sets are not followed.

    Args:
        service: boto3's name of the client.
        region: of the service; the session's when left out.
        endpoint: the emulator's URL; None is AWS.
        connect_s, read_s: how long one attempt may take to connect, and be silent.
        attempts: of one call, the first included.
        connections: kept open at the same time.
        within: a session of `session(region, endpoint)`; one of its own when left out.
    """
    from botocore.config import Config  # noqa: PLC0415

    more: dict[str, Any] = {"proxies": {}, "s3": {"addressing_style": "path"}} if endpoint else {}
    config = Config(
        connect_timeout=connect_s,
        read_timeout=read_s,
        max_pool_connections=connections,
        retries={"mode": "standard", "total_max_attempts": attempts},
        user_agent_extra="cutover",
        **more | {"ignore_configured_endpoint_urls": True},
    )
    made: Any = within or session(region, endpoint)
    return made.client(service, region_name=region, endpoint_url=endpoint, config=config)


@cache
def loader() -> Any:
    """botocore's loader, shared by every session of the process: reading models is what makes clients slow to make."""

    from botocore.loaders import create_loader  # noqa: PLC0415

    return create_loader()
