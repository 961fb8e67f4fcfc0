"""Rows of those who use and pay for ShadowTwin: users, teams, sessions, subscriptions, invoices."""

from __future__ import annotations

import base64

import numpy as np

from cutover.rehearsal.data import phrases
from cutover.rehearsal.data.dice import Dice, Lines, days, spread, text, user_id
from cutover.rehearsal.data.phrases import NULL

VISITOR = "visitor@shadowtwin.example"
"""The test user; has twins and conversations. Its id is 2."""
ADMIN = "admin@shadowtwin.example"
"""The administrator; its id is 1."""

_KNOWN = ((ADMIN, "Ada Administrator", "admin", "active"), (VISITOR, "Vera Visitor", "member", "active"))


def users(m: Dice, start: int, end: int) -> Lines:
    """People; the first two are known by name."""
    n = end - start
    created = spread(start, end, m.size["public.users"])
    columns = zip(
        range(start, end),
        m.uuids(n),
        m.pick(phrases.NAMES, n),
        m.hexes(23, n),
        m.pick(["active"] * 17 + ["invited", "suspended", "deleted"], n),
        m.pick(phrases.LOCALES, n),
        m.pick(phrases.TAGS, n),
        m.pick(phrases.SETTINGS, n),
        [a if i % 9 == 0 else NULL for i, a in zip(range(start, end), m.hexes(48, n), strict=True)],
        m.sometimes(phrases.ADDRESSES, NULL, n, share=0.4),
        m.every(20, phrases.FLOATS, [repr(v) for v in m.numbers.random(n).tolist()], start),
        m.sometimes(phrases.BIRTHDAYS, NULL, n, share=0.7),
        text(created),
        text(created + 3_600_000_000),
        m.sometimes(text(m.instants(n)), NULL, n, share=0.9),
        strict=True,
    )
    lines = []
    for i, uuid, name, secret, status, *rest in columns:
        email, role = f"{phrases.mailbox(name)}.{i}@{phrases.DOMAINS[i % len(phrases.DOMAINS)]}", "member"
        if i % 400 == 7:
            role = "support"
        address, called, right, state = _KNOWN[i] if i < len(_KNOWN) else (email, name, role, status)
        cells = (user_id(i), uuid, address, called, "$2b$12$" + _bcrypt_like(secret), right, state, *rest)
        lines.append("\t".join(map(str, cells)))
    return lines


def _bcrypt_like(secret: str) -> str:
    """bcrypt's 22 characters of salt and 31 of hash, of nothing: hashing thousands of passwords would take minutes."""
    return (base64.b64encode(bytes.fromhex(secret[3:]), b"./").decode().rstrip("=") * 2)[:53]


def teams(m: Dice, start: int, end: int) -> Lines:
    """Teams, most below another."""
    n = end - start
    columns = zip(range(start, end), m.pick(phrases.TEAMS, n), m.whole(1, 50, n), text(m.instants(n)), strict=True)
    return [f"{i + 1}\t{NULL if i < 3 else 1 + i // 3}\t{name}\t{seats}\t{at}" for i, name, seats, at in columns]


def team_members(m: Dice, start: int, end: int) -> Lines:
    """Who belongs to which team."""
    teams, users = m.size["public.teams"], m.size["public.users"]
    n = end - start
    columns = zip(range(start, end), m.pick(["owner", "member", "member", ""], n), days(m.instants(n)), strict=True)
    # Pairs (i mod teams, i div teams) are distinct, and so the key holds.
    return [
        f"{1 + i % teams}\t{user_id((i // teams * 7 + i % teams) % users)}\t{role}\t{on}" for i, role, on in columns
    ]


def sessions(m: Dice, start: int, end: int) -> Lines:
    """Sign-ins."""
    n = end - start
    created = m.instants(n, ordered=False)
    columns = zip(
        m.uuids(n),
        m.user_ids(n),
        m.hexes(32, n),
        m.sometimes(phrases.ADDRESSES_IP, NULL, n, share=0.9),
        m.sometimes(phrases.AGENTS, NULL, n, share=0.95),
        text(created),
        text(created + 1_209_600_000_000),
        strict=True,
    )
    return ["\t".join(map(str, row)) for row in columns]


def subscriptions(m: Dice, start: int, end: int) -> Lines:
    """Who pays for what, one period at a time."""
    users = m.size["public.users"]
    lines = []
    for i, extra in zip(range(start, end), m.whole(0, 300, end - start), strict=True):
        first = np.datetime64("2025-03-01") + extra + 400 * (i // users)
        # The last one of some is open-ended; the exclusion constraint forbids a second one beside it.
        last = "" if i // users == 0 and i + users >= m.size["public.subscriptions"] and i % 3 == 0 else first + 90
        plan, price = (("free", "0.00"), ("solo", "19.00"), ("team", "49.50"), ("max", "9999999999.99"))[i % 97 % 4]
        status = ("active", "active", "past_due", "cancelled", "trial")[i % 5]
        ended = f"{first + 30} 12:00:00.000001" if status == "cancelled" else NULL
        lines.append(
            f"{1000 + i}\t{user_id(i % users)}\t{plan}\t{status}\t[{first},{last})\t{price}\t{i % 3 * 10}\t{ended}"
        )
    return lines


def invoices(m: Dice, start: int, end: int) -> Lines:
    """What was billed."""
    n, subscriptions = end - start, m.size["public.subscriptions"]
    columns = zip(
        range(start, end),
        days(spread(start, end, m.size["public.invoices"])),
        m.whole(0, 500_000, n),
        m.pick(["0.19", "0.190", "0", "0.07", "0.2", "0.0000", "0.0775"], n),
        m.pick(phrases.LINES, n),
        strict=True,
    )
    return [
        f"{100_001 + i}\t{1000 + i % subscriptions}\t{on}\t{cents // 100}.{cents % 100:02d}\t{rate}\t{lines}"
        for i, on, cents, rate, lines in columns
    ]
