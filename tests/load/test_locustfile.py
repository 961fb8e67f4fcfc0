"""The visitors of the locustfile against the stand-in ShadowTwin: what they ask is what it answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from standin import ADMIN_LOGIN, LOGIN, StandIn, loaded_database, stand_in

from cutover import load
from cutover.migration import Load
from cutover.rehearsal import postgres as pg
from cutover.rehearsal import valkey as vk


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, pg17: pg.Server, valkey: vk.ValkeyServer) -> Iterator[StandIn]:
    """The stand-in application on a real database and a real Valkey."""
    folder = tmp_path_factory.mktemp("app")
    with loaded_database(pg17) as url, stand_in(folder, url, valkey.url[:-1] + "3") as running:
        yield running


def test_every_visit_to_a_healthy_shadowtwin_succeeds(app: StandIn, tmp_path: Path) -> None:
    """From the front page to the PDF that the queue made."""
    what = Load(arrivals_per_s=60, duration=timedelta(seconds=4), warm_up=timedelta(seconds=1), workers=1)
    frame = load.run(app.base, what, tmp_path, login=LOGIN, admin_login=ADMIN_LOGIN, seed=11).read()
    assert set(frame.outcome) == {"ok"}, load.summary(frame).to_string()
    assert set(frame.endpoint) >= {
        "GET /",
        "GET /api/admin/stats",
        "GET /api/health",
        "GET /api/reports/ID",
        "GET /api/reports/ID/pdf",
        "GET /api/twins",
        "GET /api/twins/ID/conversations",
        "POST /api/auth/login",
        "POST /api/reports",
    }
