"""One running application for the tests of the instruments that look at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from standin import StandIn, loaded_database, stand_in

from cutover.rehearsal import postgres as pg
from cutover.rehearsal import valkey as vk


@pytest.fixture(scope="package")
def app(tmp_path_factory: pytest.TempPathFactory, pg17: pg.Server, valkey: vk.ValkeyServer) -> Iterator[StandIn]:
    """The stand-in application on a real database and a real Valkey."""
    folder = tmp_path_factory.mktemp("app")
    with loaded_database(pg17) as url, stand_in(folder, url, valkey.url[:-1] + "2") as running:
        yield running
