"""How numbers, sizes, durations and long or invisible text are written for a person, in every room alike."""

from __future__ import annotations

import math
import re
from typing import Any

_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffe\uffff]"
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def visible(text: str) -> str:
    """`text` with what cannot be seen made visible: control and direction-changing characters, broken halves.

    Line breaks and tabs stay. `\\r\\n` becomes a line break, a lone NUL `␀`, U+202E `⟨U+202E⟩`.
    """
    text = _SURROGATE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _CONTROL.sub(lambda m: chr(0x2400 + ord(m[0])) if ord(m[0]) < 0x20 else f"⟨U+{ord(m[0]):04X}⟩", text)


def cut(text: str, most: int) -> str:
    """`text` in at most so many characters; an ellipsis stands for what is left out."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def count(number: Any, noun: str = "", plural: str = "") -> str:
    """`312408` as `312,408`; with a noun as `312,408 rows`, `1 row`."""
    value = int(number)
    if not noun:
        return f"{value:,}"
    return f"{value:,} {noun if value == 1 else plural or noun + 's'}"


def size(octets: float) -> str:
    """Bytes in powers of 1024, as servers and AWS count them: `812 B`, `4.1 KiB`, `12.0 MiB`, `340 GiB`."""
    value = float(octets)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:,.0f} {unit}" if unit == "B" or value >= 100 else f"{value:,.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: `36 ms`, `0.4 s`, `42 s`, `3 min 12 s`, `1 h 04 min`; `–` for none."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return "–"
    if 0 < seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.0005 else "< 1 ms"
    if seconds < 9.95:
        return f"{round(seconds, 1):g} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60:02d} s" if whole % 60 else "")
    return f"{whole // 3600:,} h" + (f" {whole % 3600 // 60:02d} min" if whole % 3600 // 60 else "")
