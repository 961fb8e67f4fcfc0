"""Numbers, times and endings as a person says them."""

from __future__ import annotations

import pytest

from cutover.report import wording


@pytest.mark.parametrize(
    ("share", "said"), [(0, "0 %"), (0.0001, "< 0.1 %"), (0.0312, "3.1 %"), (0.5, "50 %"), (1, "100 %")]
)
def test_a_small_share_is_never_rounded_to_nothing(share, said):
    """An error in a thousand requests is not none."""
    assert wording.percent(share) == said


def test_a_gate_that_is_closed_for_want_of_knowledge_is_not_painted_as_wrong():
    """INCONCLUSIVE is doubt; NO_GO is bad."""
    assert wording.ending("gate-closed", "INCONCLUSIVE")[2] == "doubt"
    assert wording.ending("gate-closed", "NO_GO")[2] == "bad"
    assert wording.ending("something new") == ("something new", "?", "doubt")


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("13_data_integrity", "13 Data integrity"),
        ("15_dns_cutover", "15 DNS cutover"),
        ("notebooks/07_lower_ttl.ipynb", "07 Lower TTL"),
        ("", "(no step)"),
    ],
)
def test_a_notebook_has_a_readable_name(name, title):
    """With its number and its capitals."""
    assert wording.step_title(name) == title


def test_commands_stand_apart_from_the_sentences_around_them():
    """A command that goes on over line breaks stays one block."""
    text = "Look first:\naws rds describe-db-instances \\\n  --region eu-central-1\nThen decide."
    kinds = wording.blocks(text)
    assert [kind for kind, _ in kinds] == ["text", "code", "text"]
    assert kinds[1][1].endswith("--region eu-central-1")


def test_a_text_that_is_cut_says_how_much_is_left_out():
    """And where the rest is."""
    assert wording.shorten("x" * 2_500).endswith("… (500 more characters in findings.jsonl)")


def test_only_the_words_that_are_used_are_explained():
    """A short glossary is read."""
    assert [term for term, _ in wording.glossary("the p95 rose and nothing else")] == ["p95"]
