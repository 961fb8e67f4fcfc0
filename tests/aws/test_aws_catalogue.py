"""The whole catalogue of the architecture: every row is one requirement, and every other check has its place."""

from __future__ import annotations

import importlib

import pytest

from cutover.aws.requirements import REGISTRY
from cutover.aws.requirements.drift import SOURCES

ROWS = {
    "ACC": 7, "NET": 11, "SG": 9, "RDS": 45, "RED": 23, "SEC": 15, "ECR": 8, "ACM": 5, "ALB": 10, "TG": 13, "LSN": 7,
    "ECS": 2, "TD": 21, "SVC": 18, "ASG": 6, "ALM": 12, "DSH": 2, "LOG": 6, "DNS": 4, "CDN": 3, "S3": 7, "IAM": 8,
    "EC2": 9, "POST": 12,
}  # fmt: skip
"""How many rows each chapter of the catalogue has; they are numbered from 01."""
CATALOGUE = [f"{chapter}-{number:02d}" for chapter, count in ROWS.items() for number in range(1, count + 1)]
REPOSITORY = [f"IMG-{n:02d}" for n in range(1, 7)] + [f"CI-{n:02d}" for n in range(1, 4)]
"""What is looked at in the application's own repository."""
ACROSS = [f"X-{number:02d}" for number in range(1, 19)]
"""Rules across resources."""
ELSEWHERE = {
    "X-18": "cutover.procedures.ttl",
    "LOC-01": "cutover.procedures.prerequisites",
    "LOC-02": "cutover.procedures.prerequisites",
    "LOC-03": "cutover.procedures.prerequisites",
    "LOC-04": "cutover.procedures.prerequisites",
    "APP-01": "cutover.app.health",
    "APP-04": "cutover.app.names",
}
"""What needs another instrument than AWS's APIs, and where it stands."""
OURS = {"ACC-08", "EC2-10", "EC2-11", "EC2-12", "EC2-13"}
"""What the catalogue lacks: the region, and what an instance of the guide's option A does at its start."""


def test_the_catalogue_has_its_263_rows() -> None:
    """The list itself."""
    assert len(CATALOGUE) == len(set(CATALOGUE)) == 263


def test_every_row_is_exactly_one_requirement() -> None:
    """None is left out, and none is there that nobody listed."""
    wanted = {*CATALOGUE, *REPOSITORY, *ACROSS, *OURS} - set(ELSEWHERE)
    assert set(REGISTRY) == wanted


@pytest.mark.parametrize(("identifier", "module"), ELSEWHERE.items())
def test_what_needs_another_instrument_has_its_place(identifier: str, module: str) -> None:
    """By its id, in the room whose work it is."""
    path = importlib.import_module(module).__file__
    assert path is not None
    with open(path) as file:
        assert f'"{identifier}"' in file.read()


def test_the_trail_is_asked_about_modules_that_there_are() -> None:
    """A module under another name would have its changes made by nobody."""
    assert set(SOURCES) <= {rule.service for rule in REGISTRY.values()}
