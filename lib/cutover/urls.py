"""Connection strings: read strictly, shown without secrets, and every password that any reading finds in one.

A password with `/`, `?`, `#` or `@` in it that is not percent-encoded is read differently by libpq, redis-py, urllib
and browsers: part of it becomes a host, a port or a database name, and is printed as such. So a URL is used only when
all of them read it alike; of one that is not, nothing is shown but its scheme.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, unquote_plus

HOW_TO_WRITE = (
    "percent-encode every character of the user and the password that is not a letter, a digit or one of - . _ ~ "
    "(/ is %2F, # is %23, ? is %3F, @ is %40, : is %3A, % is %25, a space is %20); this asks for the password and "
    "prints it encoded: python3 -c 'import getpass, urllib.parse; "
    'print(urllib.parse.quote(getpass.getpass(), safe=""))\''
)
"""How a password goes into a URL, and a command that does it (it leaves nothing in the shell's history)."""

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
_STRICT = re.compile(
    r"(?:(?P<user>[^:@/?#]*)(?::(?P<password>[^@/?#]*))?@)?(?P<hosts>[^@/?#]*)"
    r"(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?(?:#.*)?"
)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%25\w+)?\]|[^\[\]:\\]*)(?::(?P<port>[0-9]{0,5}))?")
_NOT_ENCODED = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DELIMITERS = re.compile(r"[/?#@:\s\[\]\\%]+")
_KEYWORD = re.compile(
    r"(?<![\w?&-])\w*passw(?:ord|d)\s*=\s*"
    r"(?:'(?P<quoted>(?:[^'\\]|\\.)*)'?|(?P<bare>(?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*)(?P<more>(?:\s+(?!\w+\s*=)\S+)*))",
    re.I | re.S,
)
_SECRET_OPTION = re.compile(r"PASSW|PWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|CREDENTIAL|SIGNATURE", re.I)
_PLAIN = re.compile(r"[\w./~ -]*")
_LOCATION = re.compile(r"(?:file|s3)://[^/:@]*(?:/.*)?", re.I | re.S)
"""A folder or a bucket: there is no password in it, and names may hold anything."""

LONG = 8
"""A piece of a torn password counts as a secret from this length on; shorter ones would blot out ordinary words."""


@dataclass(frozen=True, slots=True)
class Url:
    """A URL that every program reads alike. `user` and `password` are decoded, the rest is as it was written."""

    scheme: str
    user: str
    password: str | None
    hosts: str
    path: str
    query: str

    @property
    def address(self) -> str:
        """`scheme://host:port/path`, without user, password and options."""
        return f"{self.scheme}://{self.hosts}{self.path}"


def scheme_of(text: str) -> str:
    """The scheme of a text that begins as a URL, in lower case; "" for any other text."""
    found = _URL.match(text)
    return found["scheme"].lower() if found else ""


def read_url(text: str) -> Url:
    """The parts of a URL that can be read in one way only.

    Raises:
        ValueError: it is no such URL. The message says why, and holds no part of the text.
    """
    begin = _URL.match(text)
    if begin is None:
        raise ValueError("it is no URL")
    rest = text[begin.end() :]
    if _LOCATION.fullmatch(text):
        place, slash, path = rest.partition("/")
        return Url(begin["scheme"].lower(), "", None, place, slash + path, "")
    for form in (rest, unicodedata.normalize("NFKC", rest)):  # urllib reads the normal form
        if any(c.isspace() or unicodedata.category(c) in ("Cc", "Cs") for c in form):
            raise ValueError("a space or a control character stands in it")
        if _NOT_ENCODED.search(form):
            raise ValueError("a % in it does not begin a percent-encoded character")
        parts = _STRICT.fullmatch(form)
        if parts is None:
            raise ValueError("more than one @ stands before its path")
        authority = form[: parts.end("hosts")]
        userinfo = form[: parts.start("hosts")]
        if "\\" in authority or "[" in userinfo or "]" in userinfo:
            raise ValueError("a backslash or a bracket stands before its path")
        hosts = [_HOST.fullmatch(host) for host in parts["hosts"].split(",")]
        if not all(hosts) or any(int(h["port"] or 0) > 65535 for h in hosts if h):
            raise ValueError("what stands where its host and port should be is neither")
        after = form[parts.end("hosts") :]
        if "@" in after and ":" in form[: form.rindex("@")]:
            raise ValueError("an @ stands after its host, so what comes before it may be a password")
    found = _STRICT.fullmatch(rest)
    assert found is not None  # noqa: S101 - the loop looked at it first
    password = found["password"]
    return Url(
        begin["scheme"].lower(),
        unquote(found["user"] or ""),
        None if password is None else unquote(password),
        found["hosts"],
        found["path"] or "",
        found["query"] or "",
    )


def unreadable(text: str) -> str:
    """Why a text that begins as a URL is not read alike by all programs; "" when it is, or when it is no URL."""
    if not scheme_of(text):
        return ""
    try:
        read_url(text)
    except ValueError as error:
        return str(error)
    return ""


def shown(text: str) -> str:
    """What may be printed of an address: `scheme://host:port/path`; of what cannot be read its scheme alone."""
    scheme = scheme_of(text)
    if not scheme:
        return text if _PLAIN.fullmatch(text) else "…"
    try:
        return read_url(text).address
    except ValueError:
        return f"{scheme}://…"


def password_in(text: str) -> str | None:
    """The password of a URL that can be read in one way only, decoded; None when there is none."""
    try:
        return read_url(text).password or None
    except ValueError:
        return None


def passwords_in(text: str) -> frozenset[str]:
    """Everything in a text that may be a password, by any reading, as it is written and decoded.

    Looked at: the part before the `@` of each URL (of one that cannot be read strictly: before each `@`, and what
    stands in place of a port), options such as `?password=`, and `password=…` of libpq's keyword strings.
    """
    found = set(_in_keywords(text))
    for begin in _URL.finditer(text):
        rest = text[begin.start() :]
        found.update(_in_url(re.split(r"\s", rest, maxsplit=1)[0]))
        found.update(_in_url(re.split(r"[\s\"'<>]", rest, maxsplit=1)[0]))
    if scheme_of(text):
        found.update(_in_url(text))
    return frozenset(f for f in found.union(map(unquote, found), map(unquote_plus, found)) if f)


def holds_password(text: str) -> bool:
    """Whether a password stands in a text: in one of its words that is a URL, or behind `password=`."""
    return any(_in_keywords(text)) or any(passwords_in(word) for word in text.split())


def _in_url(url: str) -> Iterator[str]:
    begin = _URL.match(url)
    rest = url[begin.end() :] if begin else url
    parts = _STRICT.fullmatch(rest)
    if unreadable(url):
        yield from _torn(rest)
    elif parts and not _LOCATION.fullmatch(url):
        yield parts["password"] or ""
    for option in re.finditer(r"[?&;](?P<name>[^=&\s]+)=(?P<value>[^&]*)(?P<more>.*)", rest, re.S):
        if _SECRET_OPTION.search(unquote(option["name"])):
            yield option["value"]
            yield option["value"].partition("#")[0]
            if "passw" in option["name"].lower():
                yield option["value"] + option["more"]  # an & that was not encoded


def _torn(rest: str) -> Iterator[str]:
    """The passwords of a URL that can be read in several ways, and their longer pieces."""
    ends = [i for i, c in enumerate(rest) if c == "@"]
    hosts = re.split(r"[/?#]", rest, maxsplit=1)[0]
    leads = all(map(_HOST.fullmatch, hosts.split(",")))
    if not ends:
        if leads:
            return
        ends = [len(hosts), len(rest)]  # the host is missing, and the password stands where the port should be
    password = ""
    for end in [*ends[:16], ends[-1]]:
        password = rest[:end].partition(":")[2]
        yield password
    if not leads:  # else what comes after may as well be a path and options
        yield from (piece for piece in _DELIMITERS.split(password) if len(piece) >= LONG)


def _in_keywords(text: str) -> Iterator[str]:
    for found in _KEYWORD.finditer(text):
        for value in (found["quoted"], found["bare"], (found["bare"] or "") + (found["more"] or "")):
            if value:
                yield value
                yield re.sub(r"\\(.)", r"\1", value, flags=re.S)
