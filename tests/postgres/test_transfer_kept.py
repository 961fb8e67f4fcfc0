"""A target that an earlier transfer filled is kept when it is known again by its ids; anything else is refused."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cutover.action import Change
from cutover.errors import DatabaseError
from cutover.finding import Status, Verdict, verdict
from cutover.postgres import Transfer
from cutover.rehearsal.postgres import Server

THINGS = """
CREATE TABLE public.things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
CREATE VIEW public.names AS SELECT name FROM public.things;
INSERT INTO public.things (name) SELECT 'thing ' || n FROM generate_series(1, 50) n
"""


class Pair:
    """Two databases of ordinary roles of different names, and what the transfer between them returned.

    Attributes:
        result: of the transfer.
        folder: where dumps lie.
    """

    def __init__(self, old: Server, new: Server, folder: Path) -> None:
        self.name = f"kept_{secrets.token_hex(4)}"
        self._new, self.folder = new, folder
        for server, role in ((old, "old_owner"), (new, "new_owner")):
            server.create_role(role)
            server.create_database(self.name, role)
        self.source, self.target = old.url(self.name, "old_owner"), new.url(self.name, "new_owner")
        run(self.source, THINGS)
        self.result: Mapping[str, Any] = {}
        self.result = self.do(self.again())

    def again(self, earlier: Mapping[str, Any] | None = None, **choices: Any) -> Transfer:
        """The same transfer, with what is known of the earlier one."""
        known = self.result if earlier is None else earlier
        return Transfer(self.source, self.target, self.folder / "dump", earlier=known, **choices)

    def do(self, action: Transfer) -> Mapping[str, Any]:
        """Plan and apply, as a step does; what came back."""
        return action.apply(action.plan())

    def server(self, statement: str) -> None:
        """A statement beside the target."""
        self._new.execute(statement)

    @property
    def dumps(self) -> int:
        """How many dumps were made."""
        return len(list(self.folder.glob("*/dump.json")))


def run(url: str, statement: str) -> None:
    """One statement."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.fixture(scope="module")
def moved(pg17: Server, pg18: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A pair after its transfer; each test leaves it as it was."""
    pair = Pair(pg17, pg18, tmp_path_factory.mktemp("kept"))
    yield pair
    pg17.drop_database(pair.name)
    pg18.drop_database(pair.name)


def is_kept(pair: Pair, action: Transfer) -> bool:
    """Whether the plan keeps the copy; then it is read back as good, else nothing is dumped and it is refused."""
    plan = action.plan()
    if plan.empty:
        findings = action.verify(Change(plan, {}, "", 0.0))
        assert verdict(findings) is Verdict.GO
        assert [f.status for f in findings if f.id == "RST-kept"] == [Status.PASS]
        return True
    dumps = pair.dumps
    with pytest.raises(DatabaseError, match=r"not empty|contains an unfinished restore"):
        action.apply(plan)
    assert pair.dumps == dumps
    return False


@pytest.mark.parametrize(
    ("there", "back", "kept"),
    [
        ("", "", True),
        ("VACUUM (FULL, ANALYZE) public.things", "", True),
        ("CREATE TABLE public.more (a int)", "DROP TABLE public.more", False),
        ("CREATE SCHEMA cutover_restore", "DROP SCHEMA cutover_restore", False),
        ("ALTER TABLE public.things RENAME TO others", "ALTER TABLE public.others RENAME TO things", False),
    ],
)
def test_what_a_transfer_left_is_kept_and_nothing_else(moved: Pair, there: str, back: str, kept: bool) -> None:
    """Also when it was vacuumed since; not when tables came, went or changed their names, nor under a mark."""
    run(moved.target, there or "SELECT 1")
    try:
        assert is_kept(moved, moved.again()) is kept
    finally:
        run(moved.target, back or "SELECT 1")
    assert is_kept(moved, moved.again())


@pytest.mark.parametrize(
    ("filled", "choices", "says"),
    [
        ({"system": "1234567890123456789"}, {}, "it is on another server"),
        ({"database": 1}, {}, "it was dropped and created again"),
        ({"ids": "00"}, {}, "its tables are not those that were made then"),
        ({"system": ""}, {}, "is not on record"),
        ({"relations": 0}, {}, "is not on record"),
        ({}, {"acl": False}, "by other choices"),
        ({}, {"role": "new_owner"}, "by other choices"),
    ],
)
def test_what_was_filled_by_another_is_refused_and_said_why(
    moved: Pair, filled: dict[str, Any], choices: dict[str, Any], says: str
) -> None:
    """Before anything is dumped for it."""
    earlier = {**moved.result, "filled": moved.result["filled"] | filled}
    action, dumps = moved.again(earlier, **choices), moved.dumps
    with pytest.raises(DatabaseError, match=f"A transfer filled it before, but .*{says}"):
        moved.do(action)
    assert moved.dumps == dumps


@pytest.mark.parametrize(
    "earlier", [{}, {"dump": {}, "restore": {"marked": False}}], ids=["none", "an older version's"]
)
def test_without_a_record_of_what_was_filled_nothing_is_kept(moved: Pair, earlier: dict[str, Any]) -> None:
    """As before there were such records."""
    assert not is_kept(moved, moved.again(earlier))


def test_a_copy_that_changed_between_the_plan_and_the_look_at_it_is_not_passed(moved: Pair) -> None:
    """The ids are read again when it is read back."""
    action = moved.again()
    plan = action.plan()
    run(moved.target, "CREATE TABLE public.more (a int)")
    try:
        findings = action.verify(Change(plan, {}, "", 0.0))
    finally:
        run(moved.target, "DROP TABLE public.more")
    assert [f.id for f in findings if f.closes_gate] == ["RST-kept"]


def test_a_database_that_was_made_anew_is_filled_anew_and_a_copy_of_it_is_another(moved: Pair) -> None:
    """Same name, same tables, same rows: it is not the one that was filled. Emptied, it is moved into once more."""
    copied = f"{moved.name}_copy"
    moved.server(f"CREATE DATABASE {copied} TEMPLATE {moved.name} OWNER new_owner")
    moved.server(f"DROP DATABASE {moved.name}")
    moved.server(f"ALTER DATABASE {copied} RENAME TO {moved.name}")
    assert not is_kept(moved, moved.again())
    run(moved.target, "DROP TABLE public.things CASCADE")
    action, dumps = moved.again(), moved.dumps
    plan = action.plan()
    moved.result = action.apply(plan)
    assert moved.dumps == dumps + 1
    assert verdict(action.verify(Change(plan, moved.result, "", 0.0))) is Verdict.GO
    assert is_kept(moved, moved.again())
