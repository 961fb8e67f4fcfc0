"""Every line of the deployment guide that a text cites is explained in docs/guide.md."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RANGE = re.compile(r"(\d+)(?:\s*[-–]\s*(\d+))?")


def explained() -> set[int]:
    """The lines that the table covers."""
    rows = re.findall(r"^\| (\d+)[–-](\d+) \|", (ROOT / "docs" / "guide.md").read_text(), re.M)
    return {line for first, last in rows for line in range(int(first), int(last) + 1)}


def cited() -> dict[int, str]:
    """Line to a place that cites it: `guide=143`, `guide line 912`, `guide lines 97-120, 636-668`."""
    found: dict[int, str] = {}
    for folder, ending in (("lib", "*.py"), ("notebooks", "*.ipynb"), ("docs", "*.md")):
        for path in (ROOT / folder).rglob(ending):
            text = path.read_text()
            for number in re.findall(r"\bguide=(\d+)", text):
                found[int(number)] = str(path)
            for listed in re.findall(r"guide,? lines? ([\d–, -]+\d)", text):
                for first, last in RANGE.findall(listed):
                    found.update(dict.fromkeys((int(first), int(last or first)), str(path)))
    found.pop(0, None)
    return found


def test_every_cited_line_is_explained() -> None:
    """Nobody needs the guide itself to understand a citation."""
    lines = explained()
    assert len(cited()) > 150
    assert {line: place for line, place in cited().items() if line not in lines} == {}
