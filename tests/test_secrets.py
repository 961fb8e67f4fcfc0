"""References are resolved, and what was resolved is never written down."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.errors import SecretError, UsageError
from cutover.secrets import MASK, Redactor, resolve
from cutover.stage_file import running_stage


def test_an_environment_variable_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """`env:` names a variable."""
    monkeypatch.setenv("CUTOVER_T_URL", "postgresql://u:p4ssw0rd@h/d")
    assert resolve("env:CUTOVER_T_URL") == "postgresql://u:p4ssw0rd@h/d"


@pytest.mark.parametrize("reference", ["env:CUTOVER_T_ABSENT", "file:/nonexistent/secret"])
def test_a_reference_to_nothing_is_refused_with_its_name(reference: str) -> None:
    """The message names what is missing."""
    with pytest.raises(SecretError, match=r"ABSENT|nonexistent"):
        resolve(reference)


def test_a_file_is_read_without_its_last_line_break(tmp_path: Path) -> None:
    """Editors end files with a line break; passwords do not."""
    (tmp_path / "s").write_text("s3cret-value\n")
    assert resolve(f"file:{tmp_path / 's'}") == "s3cret-value"


def test_without_a_stage_nothing_is_rehearsed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A mistyped key must not quietly rehearse."""
    monkeypatch.delenv("CUTOVER_STAGE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="No rehearsal stage"):
        running_stage()
    with pytest.raises(UsageError):
        resolve("stage:source.database_url")


@pytest.mark.parametrize(
    "secret", ['pa"ss/w+rd=1', "zażółć-gęślą", "back\\slash'quote", "plain-secret-0", "a<b>&'c'\"d"]
)
def test_a_secret_is_masked_in_every_form_it_takes(secret: str) -> None:
    """As it is, in a URL, in JSON, in JSON inside JSON, in base64 at any offset."""
    redactor = Redactor()
    redactor.register(secret)
    forms = [secret, quote(secret, safe=""), json.dumps(secret), json.dumps(json.dumps({"k": secret})), repr(secret)]
    forms += [html.escape(secret), f"<td>{html.escape(secret, quote=False)}</td>"]
    forms += [base64.b64encode(b"x" * n + secret.encode() + b"yy").decode() for n in range(3)]
    for form in forms:
        masked = redactor(f"before {form} after")
        assert MASK in masked, form
        assert secret not in masked


@given(st.text(min_size=6, max_size=30), st.text(max_size=20), st.text(max_size=20))
def test_no_registered_value_survives_in_any_text(secret: str, before: str, after: str) -> None:
    """Whatever stands around it."""
    redactor = Redactor()
    redactor.register(secret)
    out = redactor(before + secret + after)
    assert secret not in out.replace(MASK, "\0")


def test_the_password_of_a_url_is_masked_and_the_rest_is_left_readable() -> None:
    """An engineer must still see which host it was."""
    redactor = Redactor()
    redactor.register("postgresql://app:tr0ub4dor%263@db.example:5432/app")
    masked = redactor("refused: postgresql://app:tr0ub4dor%263@db.example:5432/app; and tr0ub4dor&3 alone")
    assert "tr0ub4dor" not in masked


def test_processes_of_one_run_know_each_others_secrets(tmp_path: Path) -> None:
    """The kernel registers, the process that saves the notebook redacts."""
    shared = tmp_path / "shared"
    kernel, saver = Redactor(shared), Redactor(shared)
    assert saver("hunter2-and-more") == "hunter2-and-more"
    kernel.register("hunter2-and-more")
    assert saver("it was hunter2-and-more") == f"it was {MASK}"
    assert shared.stat().st_mode & 0o077 == 0


def test_the_environment_is_registered_by_names_that_sound_like_secrets() -> None:
    """Only those: PATH and HOME must stay readable."""
    redactor = Redactor()
    redactor.register_environment(
        [("DB_PASSWORD", "swordfish-1"), ("HOME", "/usr/share/doc"), ("SOURCE_URL", "redis://:k1ngk0ng@h:1")]
    )
    assert redactor("swordfish-1 /usr/share/doc k1ngk0ng h") == f"{MASK} /usr/share/doc {MASK} h"
