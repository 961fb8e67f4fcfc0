"""The provisioned account, an empty one, and one that tests may change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from aws_recordings import URLS, Cloud, Recorded, describe_migration

from cutover.aws import Account, Response
from cutover.aws.requirements import Phase, Stack, check_stack


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The guide's architecture; nobody changes it."""
    started = Cloud(tmp_path_factory.mktemp("aws") / "full", *URLS)
    yield started
    started.stop()


@pytest.fixture(scope="session")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The guide's architecture, for tests that change it (each puts it back, or uses names of its own)."""
    started = Cloud(tmp_path_factory.mktemp("aws") / "changing", *URLS)
    yield started
    started.stop()


@pytest.fixture(scope="session")
def empty_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An account with nothing in it."""
    started = Cloud(tmp_path_factory.mktemp("aws") / "empty", "--empty")
    yield started
    started.stop()


@pytest.fixture
def account(cloud: Cloud) -> Account:
    """The provisioned account, freshly asked."""
    return Account(describe_migration(cloud.endpoint))


@pytest.fixture
def changing_account(changing: Cloud) -> Iterator[Account]:
    """The account that may be changed; faults are taken away afterwards."""
    yield Account(describe_migration(changing.endpoint))
    changing.fault()


@pytest.fixture(scope="session")
def recorded(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Everything that the requirements ask, asked once of the provisioned account, with the TTL lowered."""
    migration = describe_migration(cloud.endpoint)
    folder = tmp_path_factory.mktemp("raw") / "aws"
    live = Account(migration, raw=folder)
    now = datetime.now(UTC)
    check_stack(Stack(live, migration, now, Phase.REVIEW, 17))
    responses: dict[str, Response] = {}
    for path in sorted(folder.glob("*.json")):
        response = Response.from_dict(json.loads(path.read_text()), evidence=path.name)
        responses[response.call.key] = response
    found = Recorded(migration, folder, responses, now)
    found.responses = found.changed("route53.list_resource_record_sets", "ResourceRecordSets.Type=CNAME.TTL", 60)
    return found
