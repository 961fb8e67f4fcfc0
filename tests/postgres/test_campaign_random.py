"""Random schemas, random rows, one random change: found and located. No change: equal.

A seed makes a batch of tables; what must be found is worked out from the rows themselves, not by a database.
"""

from __future__ import annotations

import random
import secrets
import string
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psycopg
import pytest
from ladders import LADDERS, UNORDERED, databases, drop_schema, typed

from cutover.postgres import TableComparison, compare
from cutover.rehearsal.postgres import Server

TABLES = 100
"""Tables in one batch: all of them are compared at once."""

NAMES = (
    "a",
    "t",
    "x",
    "h1",
    "place",
    "k0",
    "leaf",
    "select",
    "Weird Name",
    'qu"ote',
    "sélection",
    "1st",
    "a.b",
    "%s",
    "{x}",
)
"""Names of columns, some of them words of SQL or of the comparison itself."""

KEY_TYPES = ("int4", "int8", "text", "uuid", "numeric", "timestamptz", "bytea", "char(4)")

Value = tuple[str, str] | None
"""Where a value comes from (`ladder` or `random`: two values of one origin are never the same) and its SQL; or NULL."""


def _random_text(dice: random.Random) -> str:
    letters = string.ascii_letters + " ,\"()\\|'\t\néßЖ漢😀"
    text = "".join(dice.choice(letters) for _ in range(dice.choice((1, 3, 9, 9, 40, 3000))))
    return "'" + text.replace("'", "''") + "'"


def _random_numeric(dice: random.Random) -> str:
    scale = dice.randrange(9)
    digits = str(dice.randrange(1, 10 ** dice.randrange(1, 25))) + "7" * scale
    return f"'{digits[: len(digits) - scale]}.{digits[len(digits) - scale :]}'" if scale else f"'{digits}'"


MAKERS: dict[str, Callable[[random.Random], str]] = {
    "int4": lambda dice: str(dice.randrange(-(2**31), 2**31)),
    "int8": lambda dice: str(dice.randrange(-(2**63), 2**63)),
    "text": _random_text,
    "numeric": _random_numeric,
    "uuid": lambda dice: f"'{dice.getrandbits(128):032x}'",
    "bytea": lambda dice: f"'\\x{dice.randbytes(dice.choice((1, 8, 40, 5000))).hex()}'",
    "timestamptz": lambda dice: f"'epoch'::timestamptz + interval '{dice.randrange(-(10**16), 10**16)} us'",
    "timestamp": lambda dice: f"'epoch'::timestamp + interval '{dice.randrange(-(10**16), 10**16)} us'",
    "jsonb": lambda dice: f"""'{{"k": [{dice.randrange(10**9)}, {{"z": null}}, {dice.choice(("true", "1.50"))}]}}'""",
    "int4[]": lambda dice: "'{" + ",".join(str(dice.randrange(99)) for _ in range(dice.randrange(1, 9))) + "}'",
    "float8": lambda dice: f"'{dice.choice('+-')}{1 + dice.random()!r}e{dice.randrange(-300, 300)}'",
    "interval": lambda dice: f"'{dice.randrange(1, 10**12)} us {dice.randrange(1, 99)} days {dice.randrange(99)} mons'",
}


@dataclass
class Table:
    """A random table with its rows on both sides; a row is its key (nothing without one), then a value a column."""

    name: str
    schema: str
    key: tuple[str, ...]
    key_names: tuple[str, ...]
    unique: str
    kinds: tuple[str, ...]
    columns: tuple[str, ...]
    layout: str
    source: list[tuple[tuple[str, ...], tuple[Value, ...]]] = field(default_factory=list)
    target: list[tuple[tuple[str, ...], tuple[Value, ...]]] = field(default_factory=list)
    change: str = "none"

    @property
    def qualified(self) -> str:
        """Schema and name, quoted."""
        return f"{self.schema}.{_quote(self.name)}"


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _value(dice: random.Random, kind: str, origin: str = "") -> Value:
    if not origin and dice.random() < 0.15:
        return None
    origin = origin or dice.choice(("ladder", "random"))
    if origin == "random" and kind in MAKERS:
        return "random", MAKERS[kind](dice)
    return "ladder", dice.choice(LADDERS[kind])


def _other(dice: random.Random, kind: str, old: Value) -> Value:
    """Another value than the old one; of the same origin, so that it is another indeed."""
    if old is not None and dice.random() < 0.2:
        return None
    for _ in range(50):
        new = _value(dice, kind, old[0] if old else dice.choice(("ladder", "random")))
        if new != old:
            return new
    raise AssertionError(f"no two values of {kind}")


def make_table(dice: random.Random, number: int, schema: str) -> Table:
    """A random table with one random change, or none."""
    width = dice.choice((1, 2, 3, 5, 9, 40))
    kinds = tuple(dice.choice(list(LADDERS)) for _ in range(width))
    odd = dice.sample(NAMES, k=min(width, len(NAMES)))
    columns = tuple(odd[n] if n < len(odd) and dice.random() < 0.4 else f"c{n}" for n in range(width))
    key = tuple(dice.choice(KEY_TYPES) for _ in range(dice.choice((0, 1, 1, 1, 2, 3))))
    layout = dice.choice(("plain", "plain", "plain", "hash", "child", "generated", "dropped"))
    if layout == "hash" and not key:
        layout = "plain"
    table = Table(
        name=dice.choice(("t", "T", "x y", 'ta"ble', "select", "größe", "p%s")) + str(number),
        schema=schema,
        key=key,
        key_names=tuple(dice.choice(("id", "ID", "K", "key of it")) + str(n) for n in range(len(key))),
        unique="UNIQUE" if layout != "hash" and dice.random() < 0.3 else "PRIMARY KEY",
        kinds=kinds,
        columns=columns,
        layout=layout,
    )
    keys: set[tuple[str, ...]] = set()
    for _ in range(dice.choice((0, 1, 2, 5, 20, 60))):
        row = tuple(MAKERS.get(kind, lambda d: f"'{d.randrange(1000):04d}'")(dice) for kind in key)
        if key and (row in keys or max(map(len, row)) > 300):  # an index takes no long values
            continue
        keys.add(row)
        table.source.append((row, tuple(_value(dice, kind) for kind in kinds)))
    if not key:
        table.source += [dice.choice(table.source) for _ in range(dice.randrange(3)) if table.source]
    table.target = list(table.source)
    _mutate(dice, table)
    dice.shuffle(table.target)
    return table


def _mutate(dice: random.Random, table: Table) -> None:
    rows = table.target
    table.change = dice.choice(("none", "delete", "insert", "value", "value", "value", "swap", "copy", "key"))
    if not rows and table.change != "insert":
        table.change = "none"
    at = dice.randrange(len(rows)) if rows else 0
    column = dice.randrange(len(table.kinds))
    if table.change == "delete":
        del rows[at]
    elif table.change == "insert" or (table.change == "copy" and table.key):
        values = rows[at][1] if rows and dice.random() < 0.5 else tuple(_value(dice, k) for k in table.kinds)
        rows.append((tuple(_new_key(kind) for kind in table.key), values))
    elif table.change == "copy":
        rows.append(rows[at])
    elif table.change == "value":
        key, values = rows[at]
        new = _other(dice, table.kinds[column], values[column])
        rows[at] = (key, (*values[:column], new, *values[column + 1 :]))
    elif table.change == "swap":
        other = dice.randrange(len(rows))
        pair = rows[at][1][column], rows[other][1][column]
        for place, value in ((at, pair[1]), (other, pair[0])):
            key, values = rows[place]
            rows[place] = (key, (*values[:column], value, *values[column + 1 :]))
    elif table.change == "key" and table.key:
        rows[at] = (tuple(_new_key(kind) for kind in table.key), rows[at][1])


def _new_key(kind: str) -> str:
    """A key that no maker makes."""
    return {
        "int4": "'7'", "int8": "'7'", "text": "''", "uuid": "'00000000-0000-0000-0000-000000000000'", "numeric": "'-7'",
        "timestamptz": "'infinity'", "bytea": "''", "char(4)": "'new'",
    }[kind]  # fmt: skip


def statements(table: Table, side: int) -> str:
    """The table and its rows on one side."""
    columns = [f"{_quote(n)} {k} NOT NULL" for n, k in zip(table.key_names, table.key, strict=True)]
    columns += [f"{_quote(n)} {k}" for n, k in zip(table.columns, table.kinds, strict=True)]
    names = [*table.key_names, *table.columns]
    order = list(range(len(columns)))
    if side and table.layout != "child":
        order.reverse()  # the same columns in another order
    inside = [columns[n] for n in order]
    if table.layout == "dropped" and side:
        inside.insert(0, "dropped text")
    if table.layout == "generated":
        inside.append("made int GENERATED ALWAYS AS (1 + 1) STORED")
    if table.key:
        inside.append(f"{table.unique} ({', '.join(map(_quote, table.key_names))})")
    text = f"CREATE TABLE {table.qualified} ({', '.join(inside)})"
    name = table.qualified
    if table.layout == "hash":
        text += f" PARTITION BY HASH ({_quote(table.key_names[0])});" + "".join(
            f"CREATE TABLE {table.schema}.{_quote(f'{table.name}_{n}')} PARTITION OF {name} "
            f"FOR VALUES WITH (MODULUS {2 + side}, REMAINDER {n});"
            for n in range(2 + side)
        )
    text += ";"
    if table.layout == "child":
        text += f"CREATE TABLE {table.schema}.{_quote('child of ' + table.name)} () INHERITS ({name});"
    if table.layout == "dropped" and side:
        text += f"ALTER TABLE {name} DROP COLUMN dropped;"
    rows = table.target if side else table.source
    if rows:
        listed = ", ".join(f"({', '.join(_row(table, row))})" for row in rows)
        text += f"INSERT INTO {name} ({', '.join(map(_quote, names))}) VALUES {listed};"
    return text


def _row(table: Table, row: tuple[tuple[str, ...], tuple[Value, ...]]) -> list[str]:
    keys = [typed(value, kind) for value, kind in zip(row[0], table.key, strict=True)]
    values = [
        f"CAST(NULL AS {kind})" if value is None else typed(value[1], kind)
        for value, kind in zip(row[1], table.kinds, strict=True)
    ]
    return [*keys, *values]


def wrong(table: Table, found: TableComparison) -> str:
    """What the comparison says wrongly of a table; empty when it is right."""
    if table.key:
        ours, theirs = dict(table.source), dict(table.target)
        changed = {key for key in ours.keys() & theirs.keys() if ours[key] != theirs[key]}
        wanted = (len(ours.keys() - theirs.keys()), len(theirs.keys() - ours.keys()), len(changed))
        columns = Counter(
            name
            for key in changed
            for name, one, other in zip(table.columns, ours[key], theirs[key], strict=True)
            if one != other
        )
    else:
        one, other = Counter(table.source), Counter(table.target)
        wanted = (sum((one - other).values()), sum((other - one).values()), 0)
        columns = Counter()
    counts = (found.missing, found.extra, found.different)
    if counts != wanted or found.not_compared:
        return f"{table.change} in {table}: {counts} for {wanted} {found.not_compared}"
    if found.differing_columns != columns:
        return f"{table.change} in {table}: columns {found.differing_columns} for {columns}"
    named = sum(example.copies for example in found.examples)
    keys = {tuple(example.key) for example in found.examples}
    if named != sum(wanted) or (table.key and keys - {table.key_names}):
        return f"{table.change} in {table}: {named} rows named, by {keys}"
    if (found.source_rows, found.target_rows) != (len(table.source), len(table.target)):
        return f"{table.change} in {table}: {found.source_rows} and {found.target_rows} rows"
    return ""


@pytest.fixture(scope="module")
def sides(pg17: Server, pg18: Server) -> Iterator[tuple[str, str]]:
    """A database on a 17 and one on an 18, with the types and extensions that the ladders need."""
    with databases(pg17, pg18) as made:
        yield made


def run(sides: tuple[str, str], seed: int, tables: int = TABLES) -> list[str]:
    """One batch of random tables; what the comparison said wrongly."""
    dice = random.Random(seed)
    schema = f"random_{secrets.token_hex(4)}"
    batch = [make_table(dice, number, schema) for number in range(tables)]
    try:
        for side, url in enumerate(sides):
            with psycopg.connect(url, autocommit=True, options="-c search_path=public,kinds") as connection:
                connection.execute(f"CREATE SCHEMA {schema}".encode())
                connection.execute("".join(statements(table, side) for table in batch).encode())
        found = {t.name: t for t in compare(*sides, catalog=False, jobs=2).tables}
    finally:
        for url in sides:
            drop_schema(url, schema)
    named = {name.replace('"', ""): table for name, table in found.items()}
    return [w for t in batch if (w := wrong(t, named[f"{schema}.{t.name}".replace('"', "")]))]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_random_change_of_a_random_table_is_found_and_located(seed: int, sides: tuple[str, str]) -> None:
    """A hundred tables of random columns, keys, layouts and names; most with one change."""
    assert run(sides, seed) == []


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(3, 23))
def test_random_changes_are_found_in_a_long_campaign(seed: int, sides: tuple[str, str]) -> None:
    """Two thousand tables more."""
    assert run(sides, seed) == []


def test_a_batch_has_changes_of_every_kind() -> None:
    """What the seeds of `make test` draw: every change, every layout, tables with and without a key, most types."""
    batch = [make_table(dice, n, "s") for dice in map(random.Random, (1, 2)) for n in range(TABLES)]
    assert {table.change for table in batch} == {"none", "delete", "insert", "value", "swap", "copy", "key"}
    assert {table.layout for table in batch} == {"plain", "hash", "child", "generated", "dropped"}
    assert {bool(table.key) for table in batch} == {True, False}
    assert {kind for table in batch for kind in table.kinds} == set(LADDERS)
    assert not set(KEY_TYPES) & UNORDERED
