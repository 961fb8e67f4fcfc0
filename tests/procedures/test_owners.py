"""Notebook 13 between owners of different names: what the parameters leave out of the restore closes nothing."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from owned import LARGE_OBJECT, SCHEMA, Owned, owned_database

from cutover import runbook
from cutover.postgres import dump, restore
from cutover.rehearsal.postgres import Server

Migration = dict[str, Any]


@pytest.fixture
def sides(pg17: Server, pg18: Server, tmp_path: Path) -> Iterator[tuple[Owned, Owned]]:
    """A source, and what a restore without owners made of it for another ordinary role."""
    tag = secrets.token_hex(3)
    with (
        owned_database(pg17, f"appdb_owner_{tag}", f"reads_{tag}", SCHEMA, LARGE_OBJECT) as ours,
        owned_database(pg18, f"platform_admin_{tag}", f"reads_{tag}") as theirs,
    ):
        dump(ours.url, tmp_path / "dump")
        assert not restore(tmp_path / "dump", theirs.url, acl=True).marked
        yield ours, theirs


def test_owners_that_the_parameters_leave_out_close_nothing(
    sides: tuple[Owned, Owned], migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By either way of transfer; where owners were to be restored, they close it."""
    monkeypatch.setenv("SOURCE_DATABASE_URL", sides[0].url)
    monkeypatch.setenv("TARGET_DATABASE_URL", sides[1].url)
    migration["target"]["database_url"] = "env:TARGET_DATABASE_URL"
    closing = {}
    for name, changes in {
        "by default": {},
        "replicate": {"transfer": "replicate"},
        "owners wanted": {"restore": {"owner": True}},
    }.items():
        step = runbook.begin("13_data_integrity", migration | changes)
        findings = runbook.transfer.compare_databases(step).findings
        assert not [f.id for f in findings if f"OWNER TO {sides[0].owner}" in f.remedy]
        closing[name] = {f.id for f in findings if f.closes_gate}
    assert closing == {
        "by default": set(),
        "replicate": set(),
        "owners wanted": {"INT-catalog", "INT-catalog-owner"},
    }
