"""Numbers, sizes, times and long or invisible text as a person says them."""

from __future__ import annotations

import math

import pytest

from cutover.text import cut, duration, size, visible


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "–"),
        (-1.0, "–"),
        (0.0, "0 s"),
        (0.0002, "< 1 ms"),
        (0.036, "36 ms"),
        (0.42, "0.4 s"),
        (6.0, "6 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (192, "3 min 12 s"),
        (3599.7, "1 h"),
        (3840, "1 h 04 min"),
        (360_000, "100 h"),
    ],
)
def test_a_duration_reads_as_it_is_said(seconds, said):
    """Rounded to what matters, with its unit."""
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (0, "0 B"),
        (812, "812 B"),
        (4198, "4.1 KiB"),
        (12 << 20, "12.0 MiB"),
        (340 << 30, "340 GiB"),
        (5 << 50, "5,242,880 GiB"),
    ],
)
def test_a_size_reads_as_it_is_said(octets, said):
    """Powers of 1024, as a server counts its memory and AWS its storage."""
    assert size(octets) == said


def test_what_cannot_be_seen_is_made_visible():
    """Escape sequences, NUL, direction marks, half surrogates; line breaks and tabs stay."""
    assert visible("a\x1b[0m\x00\u202e\ud800\r\nb\tc") == "a␛[0m␀⟨U+202E⟩\ufffd\nb\tc"


def test_what_is_cut_says_so_and_is_no_longer_than_agreed():
    """An ellipsis stands for the rest; what fits stays as it is."""
    assert cut("ten letters", 11) == "ten letters"
    assert cut("ten letters", 5) == "ten…"
