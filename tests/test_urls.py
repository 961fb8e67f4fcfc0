"""A password in a connection string is never printed, however it is written; and the way to write it is."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from cutover import app, postgres, queue
from cutover.aws.scrub import scrub, secret_facts
from cutover.cli.comparing import _database
from cutover.errors import CutoverError, SecretError, UsageError
from cutover.load import run as run_load
from cutover.migration import Load
from cutover.objects.opening import open_location
from cutover.params import from_dict
from cutover.postgres.connection import one_line, parameters, without_secrets
from cutover.queue.layout import shown as shown_queue
from cutover.secrets import Redactor, redact, resolve
from cutover.urls import passwords_in, read_url, shown, unreadable

PRINTABLE = st.text(st.characters(min_codepoint=33, exclude_categories=("C", "Z")), min_size=8, max_size=24)
HOSTILE = st.text(st.sampled_from("/#?@:%[]\\ &=+'\"5aZ"), min_size=8, max_size=24)
STAGING = Path(__file__).parents[1] / "params" / "staging.yml"
WORDS = ("postgresql", "database", "password")
"""Words of the messages themselves; a password that is one of them is in them by chance."""

URLS: dict[str, Callable[[str], str]] = {
    "postgresql": lambda p: f"postgresql://app:{p}@127.0.0.1:1/shop",
    "rediss": lambda p: f"rediss://:{p}@127.0.0.1:1",
    "https": lambda p: f"https://ada:{p}@127.0.0.1:1/",
    "in the query": lambda p: f"postgresql://app@127.0.0.1:1/shop?password={p}",
    "without a host": lambda p: f"redis://:x{p}",
}


@pytest.fixture(autouse=True, scope="module")
def forgotten() -> Iterator[None]:
    """What is registered here at random is no secret of the tests that follow."""
    before = set(redact._values)
    yield
    redact._values, redact._pattern = before, None


def said(look: Callable[[], Any]) -> str:
    """What a look gives or raises, with the causes of the error."""
    try:
        return repr(look())
    except Exception as error:  # whatever is raised is printed
        told, part = [str(error)], error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        while part is not None:
            told.append(str(part))
            part = part.__cause__ or (None if part.__suppress_context__ else part.__context__)
        return "\n".join(told)


def looks(url: str) -> Iterator[Callable[[], Any]]:
    """Everything that takes a URL and could quote it; nothing listens at its port."""
    yield lambda: postgres.describe(url)
    yield lambda: shown(url)
    yield lambda: shown_queue(url)
    yield lambda: postgres.connect(url, timeout_s=1)
    yield lambda: without_secrets(url)[0]
    yield lambda: one_line(psycopg.OperationalError(f"cannot use {url}"), url)
    yield lambda: queue.read_queues(url)
    yield lambda: queue.check_drained(url, 0)
    yield lambda: app.check_health(url, timeout_s=0.2)
    yield lambda: open_location(url)
    yield lambda: _database(url, "source")


def torn(password: str, text: str) -> bool:
    """Whether `text` holds the password, in clear or as it stands in a URL."""
    return any(form in text for form in (password, quote(password, safe=""), quote(password)))


@settings(max_examples=30, deadline=None)
@given(st.one_of(PRINTABLE, HOSTILE), st.sampled_from(sorted(URLS)), st.booleans())
@example("S3cretHalf/OtherHalf+Z9=", "postgresql", False)
@example("first@second-half", "postgresql", False)
@example("12/port-and-path", "postgresql", False)
@example("before#behind-it", "rediss", False)
@example("before?behind-it", "https", False)
@example("100%zz-not-hex", "postgresql", False)
@example("brackets[and]more", "https", False)
@example("full\uff0fwidth-slash", "rediss", False)
def test_no_message_finding_or_description_holds_a_password(password: str, kind: str, encoded: bool) -> None:
    """Not whole, and of one that is torn not its longer half either."""
    assume(kind != "without a host" or "@" not in password)  # what follows an @ is its host
    url = URLS[kind](quote(password, safe="") if encoded else password)
    for look in looks(url):
        text = said(look)
        if any(password in word for word in WORDS):
            continue
        assert not torn(password, text), text
        if unreadable(url):
            halves = re.split("[/?#@]", password)
            assert not any(half in text for half in halves if len(half) >= 8 and half not in WORDS), text


@settings(max_examples=60, deadline=None)
@given(st.one_of(PRINTABLE, HOSTILE), st.sampled_from(sorted(URLS)))
def test_the_redactor_learns_a_password_from_every_reading(password: str, kind: str) -> None:
    """So what another program prints of it is masked too."""
    assume(kind != "without a host" or "@" not in password)  # what follows an @ is its host
    url = URLS[kind](password)
    redactor = Redactor()
    redactor.register(*passwords_in(url))
    whole = f"x{password}" if kind == "without a host" else password
    assert whole not in redactor(f"FATAL: {whole}, said somebody else")


@settings(max_examples=100, deadline=None)
@given(
    st.text(st.characters(exclude_categories=("C",)), min_size=1, max_size=24),
    st.sampled_from(["postgresql", "rediss", "https"]),
)
def test_an_encoded_password_is_read_as_it_is(password: str, kind: str) -> None:
    """What the command prints is accepted, and is the same password."""
    url = URLS[kind](quote(password, safe=""))
    assert read_url(url).password == password
    if kind == "postgresql":
        assert parameters(url)["password"] == password


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:pa%2Fss@db.example:5432/shop?sslmode=require",
        "postgresql://app@one:5432,two:5433/shop",
        "postgresql:///shop?host=/run/postgresql",
        "postgresql://[::1]:5432/shop",
        "postgresql://db.example/shop?user=a@tenant",
        "rediss://:tok^en|<>!&$-{}@cache.example:6379/0",
        "https://chat.example/@team",
        "https://app.xn--p1ai/",
        "https://bücher.example/",
        "s3://bucket/a folder/100%:x@y",
        "file:///srv/a folder/100%:x@y",
    ],
)
def test_what_is_read_in_one_way_is_accepted(url: str) -> None:
    """No URL that works everywhere is refused."""
    assert unreadable(url) == ""


@pytest.mark.parametrize("password", ["pa/ss-w0rd", "pa#ss-w0rd", "pa?ss-w0rd", "pa@ss-w0rd"])
def test_a_reference_to_a_url_that_is_not_encoded_is_refused_with_the_way_to_write_it(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheme alone is told; the command turns the password into what is accepted."""
    monkeypatch.setenv("CUTOVER_T_TORN", f"postgresql://app:{password}@db.example:5432/shop")
    with pytest.raises(SecretError) as caught:
        resolve("env:CUTOVER_T_TORN")
    message = str(caught.value)
    assert "postgresql://" in message
    assert "CUTOVER_T_TORN" in message
    assert "%2F" in message
    assert "db.example" not in message
    assert password not in redact(f"by another: {password}")
    command = message[message.index("python3 -c '") + len("python3 -c '") : message.rindex("'")]
    asked = f"import getpass; getpass.getpass = lambda: {password!r}\n{command.replace('import getpass, ', 'import ')}"
    printed = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
    monkeypatch.setenv("CUTOVER_T_TORN", f"postgresql://app:{printed}@db.example:5432/shop")
    assert resolve("env:CUTOVER_T_TORN").endswith(f":{printed}@db.example:5432/shop")


@pytest.mark.parametrize(
    ("given_", "parts"),
    [
        (r"host=127.0.0.1 dbname=shop password='a b\'c-and-more'", [r"a b\'c-and-more", "a b'c-and-more"]),
        ("host=127.0.0.1 password=first second-half dbname=shop", ["first second-half", "second-half"]),
        ("password='never closed at all", ["never closed at all"]),
        ("dbname=postgresql://app:hunter2-hunter2@h/d", ["hunter2-hunter2"]),
        ("redis://:pa/ss-w0rd@127.0.0.1", ["pa/ss-w0rd"]),
        ("postgresql://127.0.0.1/shop?password=hunter2&hunter3", ["hunter2", "hunter3"]),
        ("redis://127.0.0.1:1/0?password=hunter2&hunter3=x", ["hunter2", "hunter3"]),
        ("postgresql:/app:hunter2-hunter2@127.0.0.1/shop", ["hunter2"]),
        ("postgresql+psycopg2://app:hunter2/hunter3@127.0.0.1/shop", ["hunter2", "hunter3"]),
    ],
)
def test_other_ways_to_write_a_password_are_not_printed_either(given_: str, parts: list[str]) -> None:
    """Keyword strings with quotes and without, options, schemes mistyped."""
    for look in looks(given_):
        text = said(look)
        assert not [part for part in parts if part in text], text


@pytest.mark.parametrize(
    "value",
    [
        "postgresql://app:hunter2/hunter3@db/shop",
        "host=db password=hunter2-hunter3",
        "https://ada:hunter2#hunter3@chat.example",
        "redis://cache/0?password=hunter2-hunter3",
    ],
)
@pytest.mark.parametrize("key", ["source", "contacts"])
def test_a_parameter_file_is_refused_with_the_reference_to_write(value: str, key: str) -> None:
    """As a place and in a free text."""
    raw = yaml.safe_load(STAGING.read_text())["migration"]
    at = {"source": ("source", "database_url"), "contacts": ("contacts", next(iter(raw["contacts"])))}[key]
    raw[at[0]][at[1]] = value
    with pytest.raises(UsageError) as caught:
        from_dict(raw)
    assert "env:NAME" in str(caught.value)
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "Ada, https://oncall.example/, ada: ada@x.example",
        "https://chat.example:8443/teams",
        "repo.example/shop:1.2@sha256:0a1b",
    ],
)
def test_a_text_without_a_password_is_none(text: str) -> None:
    """Or nobody could write down whom to call."""
    raw = yaml.safe_load(STAGING.read_text())["migration"]
    raw["contacts"][next(iter(raw["contacts"]))] = text
    assert from_dict(raw).migration


def test_the_load_and_another_location_do_not_repeat_an_address() -> None:
    """Where it is refused for what it is."""
    for url in ("https://ada:hunter2/hunter3@x", "ftp://ada:hunter2@x", "https://ada:hunter2@x"):
        with pytest.raises(CutoverError) as caught:
            run_load(url, Load(), folder=Path("/nonexistent"), login="a:b")
        assert "hunter" not in str(caught.value)


@pytest.mark.parametrize("password", ["half/other-half", "half@other-half", "half?other-half", "12/other-half"])
def test_an_answer_of_aws_is_kept_without_any_part_of_it(password: str) -> None:
    """In an environment, and as the shape of a secret."""
    url = f"postgresql://app:{password}@db.example:5432/shop"
    kept = scrub({"environment": [{"name": "SHOP", "value": url}], "other": f"password={password} host=x"})
    assert "half" not in str(kept)
    facts = secret_facts(url)
    assert "half" not in str(facts)
    assert facts["unreadable"]


def test_the_command_prints_nothing_of_a_url_that_is_torn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 and the way to write it; with --debug too."""
    from cutover.cli.entry import main

    monkeypatch.setenv("CUTOVER_T_TORN", "postgresql://app:S3cretHalf/OtherHalf+Z9=@127.0.0.1:5999/app")
    for words in (
        ["compare", "env:CUTOVER_T_TORN", "env:CUTOVER_T_TORN"],
        ["compare", "postgresql://app:S3cretHalf/OtherHalf+Z9=@127.0.0.1:5999/app", "x", "--debug"],
    ):
        monkeypatch.setattr(sys, "argv", ["cutover", *words])
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert "Half" not in out.getvalue() + err.getvalue()
