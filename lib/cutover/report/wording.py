"""The report's words: numbers, durations, names and sentences that a director reads without an interpreter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

ENOUGH = 2_000
"""Characters of one text that the report shows; the whole of it stays in findings.jsonl."""

VERDICTS: dict[str, tuple[str, str, str]] = {
    "GO": ("GO", "✓", "Everything that had to be shown was shown. The next step may begin."),
    "CONTINUE": ("CONTINUE", "✓", "No rollback trigger fired. Go on watching."),
    "NO_GO": ("NO GO", "✕", "Something was looked at and is wrong. Do not go on until it is fixed."),
    "ROLLBACK": ("ROLLBACK", "↩", "A rollback trigger fired. Go back by the way that is named below."),
    "INCONCLUSIVE": ("INCONCLUSIVE", "?", "Something that must be known could not be looked at. Do not go on yet."),
    "PLAN": ("PLAN", "☰", "This run only shows what it would change. Nothing was changed, and nothing is judged."),
    "WAITING": ("WAITING", "☞", "Nothing is wrong so far. A planned change waits for a person's approval."),
    "INCOMPLETE": ("INCOMPLETE", "…", "The record of this run is not whole. It proves nothing; do not go on by it."),
}
"""For each verdict: the word, its mark (status never speaks by colour alone), and what it means."""

STATUSES: dict[str, tuple[str, str, str]] = {
    "FAIL": ("Failed", "✕", "looked at, and not as it should be"),
    "MISSING": ("Missing", "∅", "looked for, and not there at all"),
    "UNKNOWN": ("Unknown", "?", "could not be looked at"),
    "NOT_COMPARED": ("Not compared", "≠", "data left out of the comparison"),
    "MANUAL": ("A person must look", "☞", "waits for somebody to look and to say so"),
    "WAIVED": ("Waived", "~", "not as it should be, and accepted by a named person"),
    "PASS": ("Passed", "✓", "looked at, and as it should be"),
    "NOT_DUE": ("Not due", "◷", "its time has not come yet"),
    "NOT_APPLICABLE": ("Not applicable", "–", "does not concern this migration"),
}
"""For each status, in the order in which it deserves attention: the word, its mark, and what it means."""

STATES: dict[str, tuple[str, str, str]] = {
    "completed": ("Completed", "✓", "good"),
    "gate-closed": ("Gate closed", "✕", "bad"),
    "failed": ("Broke off with an error", "✕", "bad"),
    "timeout": ("Ran out of time", "✕", "bad"),
    "kernel-died": ("Its process died", "✕", "bad"),
    "interrupted": ("Interrupted", "!", "doubt"),
    "terminated": ("Terminated", "!", "doubt"),
    "not-run": ("Did not run", "–", "quiet"),
    "running": ("Was still running", "…", "doubt"),
    "waiting": ("Waits for an approval", "☞", "doubt"),
    "not-recorded": ("Began; its end is not recorded", "?", "doubt"),
}
"""For each ending of a step: the word, its mark, its tone."""

PHASES = {
    "prepare": "Preparation",
    "replicate": "Replication",
    "day": "Migration day",
    "review": "Review after the migration",
    "rollback": "Rollback",
    "rehearsal": "Dress rehearsal",
    "selection": "Chosen notebooks",
}

WINDOWS: dict[str, tuple[str, float]] = {
    "10": ("T−2 h", 3600.0),
    "11": ("T−1 h", 3600.0),
    "12": ("T−0, with the integrity check", 1800.0),
    "13": ("T−0, with the data migration", 1800.0),
    "14": ("T+30 min", 1800.0),
    "15": ("T+1 h", 3600.0),
    "16": ("T+2 h", 0.0),
}
"""When the migration-day runbook begins each step, and the seconds until the next one begins (guide, lines 898-921)."""

GLOSSARY: tuple[tuple[str, str, str], ...] = (
    ("p95", r"\bp95\b", "the time within which 95 of 100 requests were answered; the slowest 5 took longer"),
    (
        "digest",
        r"\bdigests?\b",
        "a short fingerprint computed from all rows of a table; equal fingerprints on both sides mean equal data",
    ),
    (
        "write freeze",
        r"write[- ]freeze",
        "the time during which the old platform refuses every change, so that nothing is lost while data is copied",
    ),
    (
        "gate",
        r"\bgates?\b",
        "the point at the end of a step where the findings decide whether the next step may begin",
    ),
    (
        "rollback trigger",
        r"triggers?\b",
        "a limit agreed beforehand; when it is crossed for long enough, the migration goes back",
    ),
    ("waiver", r"waive", "a known shortcoming that a named person accepted for a reason and until a date"),
    ("error rate", r"error rate", "of 100 requests, how many were answered with an error or not answered at all"),
    (
        "in flight",
        r"in[- ]flight",
        "requests that were sent and not answered yet; while they wait, their age counts as their response time",
    ),
    ("arrival", r"arrivals?\b", "a visitor's request falling due, whether or not the platform keeps up"),
    ("DNS · TTL", r"\bTTL\b|\bDNS\b", "the address book of the internet, and how long others keep an entry of it"),
    ("SHA-256", r"SHA-256", "a fingerprint of a file: change one byte and it is another"),
    ("blocker", r"\bblocker\b", "a finding with which the migration cannot go on, whoever accepts it"),
    (
        "service, task definition",
        r"task definition|\bECS\b",
        "how AWS (ECS) runs the application: so many copies of one exact version",
    ),
    ("RDS", r"\bRDS\b", "the managed PostgreSQL database at AWS"),
)
"""Term, the pattern that shows it is used, and its explanation in one line."""

_CAPITALS = re.compile(r"\b(dns|ttl|aws|arn|sql|cto|sre|dba|ceo|cio)\b")
_COMMAND = re.compile(
    r"^\s*(\$ |#|(sudo |PG\w+=\S+ )*(aws|psql|pg_\w+|cutover|\.venv/bin/\w+|make|curl|dig|redis-cli|valkey-cli|docker|"
    r"export|git|terraform|openssl|papermill|python3?|jq|kubectl|ssh|"
    r"SELECT|ALTER|GRANT|TRUNCATE|REFRESH|INSERT|UPDATE|DELETE|CREATE) )"
)


def shorten(text: str, limit: int = ENOUGH) -> str:
    """`text`, cut at `limit` characters with a word on how much is left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit].rstrip()} … ({len(text) - limit:,} more characters in findings.jsonl)"


def percent(share: float) -> str:
    """`0.0312` as `3.1 %`; small shares keep a digit that says they are not nothing."""
    value = share * 100
    return f"{value:.0f} %" if value >= 10 or value == 0 else f"{value:.1f} %" if value >= 0.05 else "< 0.1 %"


def moment(at: datetime | None) -> str:
    """A time in UTC as `23 November 2026, 12:00:04 UTC`; `not recorded` for none."""
    if at is None:
        return "not recorded"
    return f"{at.astimezone(UTC):%-d %B %Y, %H:%M:%S} UTC"


def clock(at: datetime | None) -> str:
    """The time of day in UTC, `12:00:04`."""
    return f"{at.astimezone(UTC):%H:%M:%S}" if at else "–"


def step_title(name: str) -> str:
    """`13_data_integrity` as `13 Data integrity`."""
    words = name.rsplit("/", 1)[-1].removesuffix(".ipynb").replace("_", " ").replace("-", " ").strip()
    words = _CAPITALS.sub(lambda m: m[0].upper(), words)
    number, _, rest = words.partition(" ")
    if number.isdigit() and rest:
        return f"{number} {rest[:1].upper()}{rest[1:]}"
    return words[:1].upper() + words[1:] if words else "(no step)"


def phase_title(phase: str) -> str:
    """`day` as `Migration day`; a notebook's name as its title."""
    return PHASES.get(phase, step_title(phase)) if phase else "Run"


def role(name: str) -> str:
    """`technical_lead` as `Technical lead`."""
    words = name.replace("_", " ").replace("-", " ").strip()
    words = _CAPITALS.sub(lambda m: m[0].upper(), words)
    return "DevOps" if words.lower() == "devops" else words[:1].upper() + words[1:]


def ending(state: str, verdict: str = "") -> tuple[str, str, str]:
    """A step's ending as word, mark and tone; a gate that is closed for want of knowledge is in doubt, not bad."""
    word, mark, tone = STATES.get(state, (state or "unknown", "?", "doubt"))
    return (word, "?", "doubt") if state == "gate-closed" and verdict == "INCONCLUSIVE" else (word, mark, tone)


def listing(items: Sequence[str], limit: int = 6) -> str:
    """`a, b and c`; beyond `limit` the rest is counted."""
    shown = list(items[:limit])
    if len(items) > limit:
        shown.append(f"{len(items) - limit:,} more")
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def blocks(text: str) -> list[tuple[str, str]]:
    """A remedy cut into `("text", …)` and `("code", …)`: lines that begin like a command stand together as code."""
    parts: list[tuple[str, str]] = []
    continued = False
    for line in text.split("\n"):
        if not line.strip():
            continued = False
            continue
        kind = "code" if continued or _COMMAND.match(line) else "text"
        continued = kind == "code" and line.rstrip().endswith("\\")
        if parts and parts[-1][0] == kind:
            parts[-1] = (kind, f"{parts[-1][1]}\n{line.rstrip()}")
        else:
            parts.append((kind, line.rstrip()))
    return parts


def glossary(text: str) -> list[tuple[str, str]]:
    """The terms that `text` uses, each with its line."""
    return [(term, meaning) for term, pattern, meaning in GLOSSARY if re.search(pattern, text, re.I)]
