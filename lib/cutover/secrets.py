"""Secret references and their resolution, and redaction by value of everything that was ever resolved.

A parameter file holds references, never secrets:

    env:NAME                    the environment variable NAME
    file:/path                  the content of a file, without its last line break
    secretsmanager:name         AWS Secrets Manager, the current version of the secret `name`
    secretsmanager:name#key     one key of a secret that is a JSON object
    stage:part.key              an endpoint of the running rehearsal stage (only where `environment: rehearsal`)
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from cutover import aws_session
from cutover.errors import SecretError
from cutover.stage_file import running_stage
from cutover.urls import (
    HOW_TO_WRITE,
    password_in,  # noqa: F401 - known by this name too
    passwords_in,
    scheme_of,
    unreadable,
)

SCHEMES = ("env:", "file:", "secretsmanager:", "stage:")
MASK = "‹redacted›"
SHORTEST = 6
"""Values below this many characters are not redacted: they would blot out ordinary words."""

_SECRET_NAME = re.compile(r"PASSW|SECRET|TOKEN|API_?KEY|ACCESS_KEY|PRIVATE_?KEY|CREDENTIAL|LOGIN|_DSN$|_URL$", re.I)


def is_reference(text: str) -> bool:
    """Whether `text` is a secret reference rather than a value (`file:///…` is a location, not a reference)."""
    return text.startswith(SCHEMES) and not text.startswith("file://")


class Redactor:
    """Replaces every registered value, and its URL-, JSON- and base64-encoded forms, by a mask.

    With `shared` (a private file outside the run folder) several processes of one run know each other's secrets:
    a kernel that reads a secret registers it, and the process that saves the notebook redacts it.
    """

    def __init__(self, shared: Path | None = None) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._shared = shared
        self._read = 0
        self._lock = threading.Lock()

    def register(self, *values: str | None) -> None:
        """Remember values, and every possible password inside each that is a connection string or a JSON object."""
        fresh = {v for value in values if value for v in _parts(value)} - self._values
        fresh = {v for v in fresh if len(v) >= SHORTEST}
        if not fresh:
            return
        with self._lock:
            self._values |= fresh
            self._pattern = None
            if self._shared is not None:
                descriptor = os.open(self._shared, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                with os.fdopen(descriptor, "a", encoding="utf-8") as file:
                    file.writelines(json.dumps(v) + "\n" for v in fresh)

    def register_environment(self, environment: Iterable[tuple[str, str]] | None = None) -> None:
        """Register what the environment holds under names that sound like secrets (a URL counts by its password)."""
        for name, value in environment if environment is not None else os.environ.items():
            if not _SECRET_NAME.search(name):
                continue
            if "://" in value:
                self.register(*passwords_in(value))
            elif not value.startswith("/"):
                self.register(value)

    def __call__(self, text: str) -> str:
        """`text` without any registered secret."""
        self._pull()
        with self._lock:
            if self._pattern is None and self._values:
                forms = {form for value in self._values for form in _forms(value)}
                ordered = sorted(forms, key=len, reverse=True)
                self._pattern = re.compile("|".join(re.escape(f) for f in ordered))
            pattern = self._pattern
        return pattern.sub(MASK, text) if pattern else text

    def tree(self, value: Any) -> Any:
        """`value` (nested dicts, lists, text) with every text redacted, keys too."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {self.tree(k): self.tree(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.tree(v) for v in value]
        return value

    def _pull(self) -> None:
        if self._shared is None or not self._shared.exists() or self._shared.stat().st_size <= self._read:
            return
        with self._lock, self._shared.open("rb") as file:
            file.seek(self._read)
            data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._read += len(whole)
            self._values |= {json.loads(line) for line in whole.splitlines()}
            self._pattern = None


def _parts(value: str) -> set[str]:
    """The value itself, the password of a URL, the values of a JSON object; a login `name:password` by its password."""
    parts = {value, *passwords_in(value)}
    if scheme_of(value):
        return parts
    if value.lstrip().startswith("{"):
        try:
            loaded = json.loads(value)
        except ValueError:
            return parts
        if isinstance(loaded, dict):
            parts |= {str(v) for k, v in loaded.items() if _SECRET_NAME.search(str(k))}
            parts |= {password for v in loaded.values() for password in passwords_in(str(v))}
    elif re.fullmatch(r"[^\s:@]+@[^\s:@]+:\S+", value):
        parts.add(value.split(":", 1)[1])
    return parts


def _forms(value: str) -> set[str]:
    """The value and what it looks like in a URL, in JSON and in base64 (at each of the three offsets)."""
    raw = value.encode()
    forms = {value, quote(value, safe=""), quote(value), quote_plus(value), json.dumps(value)[1:-1]}
    forms.add(json.dumps(value, ensure_ascii=False)[1:-1])
    forms.add(json.dumps(json.dumps(value))[3:-3])
    forms |= {repr(value)[1:-1], html.escape(value), html.escape(value, quote=False)}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for offset in range(3):
            # Of the padded text only what depends on the value alone: no character shared with its neighbours.
            text = encode(b"\0" * offset + raw).decode().rstrip("=")
            start = (offset * 8 + 5) // 6
            end = len(text) if (offset + len(raw)) % 3 == 0 else len(text) - 1
            if end - start >= SHORTEST:
                forms.add(text[start:end])
    return {f for f in forms if len(f) >= SHORTEST}


def _process_redactor() -> Redactor:
    shared = os.environ.get("CUTOVER_REDACTIONS")
    return Redactor(Path(shared) if shared else None)


redact = _process_redactor()
"""This process's redactor. The environment variable CUTOVER_REDACTIONS names the file that a run's processes share."""


def resolve(reference: str, *, region: str | None = None, endpoint: str | None = None) -> str:
    """The value behind a reference; a text that is no reference is returned as it is.

    Every value that comes from a reference is registered for redaction: a URL by each password that any reading finds
    in it (what has none not). A URL that programs would read differently is refused, and no part of it is told.

    Args:
        reference: see the module's first lines.
        region: for `secretsmanager:`.
        endpoint: an AWS endpoint override, in the rehearsal only.

    Raises:
        SecretError: nothing stands behind it, it may not be read, or it is a URL whose password is not encoded.
    """
    if not is_reference(reference):
        return _one_reading(reference, "in the parameters")
    redact.register(*passwords_in(reference))  # who put the URL itself behind `env:`
    scheme, _, name = reference.partition(":")
    if scheme == "stage":
        values = running_stage().values
        if name not in values:
            raise SecretError(f"The stage has no value {name!r}.", todo=f"it has: {', '.join(sorted(values))}")
        value = values[name]
    elif scheme == "env":
        value = os.environ.get(name, "")
        if not value:
            shown = redact(name)
            raise SecretError(
                f"The environment variable {shown} is not set.", todo=f"export {shown}='…' and run again."
            )
    elif scheme == "file":
        value = _from_file(Path(name))
    else:
        value = _from_secrets_manager(name, region, endpoint)
    if scheme_of(value.strip()):
        value = value.strip()  # line breaks of an editor
    if "://" in value:
        redact.register(*passwords_in(value))
    elif scheme != "stage" or _SECRET_NAME.search(name):
        redact.register(value)
    return _one_reading(value, f"behind {redact(reference)}")


def _one_reading(value: str, what: str) -> str:
    """`value`, unless it is a URL that programs read differently; its possible passwords are registered first.

    Raises:
        SecretError: it is one.
    """
    why = unreadable(value)
    if why:
        redact.register(value, *passwords_in(value))  # whole too: its readings overlap
        raise SecretError(
            f"The {scheme_of(value)}:// URL {what} cannot be read in one way only: {why}.",
            why="programs would take a part of its password for a host, a port or a database, and print it.",
            todo=HOW_TO_WRITE,
        )
    return value


def _from_file(path: Path) -> str:
    try:
        return path.read_text().removesuffix("\n")
    except OSError as error:
        raise SecretError(f"The secret file {redact(str(path))} cannot be read: {error.strerror}.") from error


def _from_secrets_manager(name: str, region: str | None, endpoint: str | None) -> str:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow to import

    name, _, key = name.partition("#")
    try:
        client = aws_session.client("secretsmanager", region=region, endpoint=endpoint)
        value = str(client.get_secret_value(SecretId=name)["SecretString"])
    except (BotoCoreError, ClientError, KeyError) as error:
        raise SecretError(
            f"The secret {name!r} cannot be read from Secrets Manager: {error}.",
            todo=f"aws secretsmanager describe-secret --secret-id {name}",
        ) from error
    if not key:
        return value
    redact.register(value)
    try:
        return str(json.loads(value)[key])
    except (ValueError, KeyError, TypeError) as error:
        raise SecretError(f"The secret {name!r} is no JSON object with the key {key!r}.") from error
