"""Takes the secrets out of an AWS response before anything else sees it; of a secret, its shape is kept for judging."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from cutover.secrets import MASK, redact
from cutover.urls import passwords_in, read_url, scheme_of, unreadable

_SECRET_KEYS = {
    "secretstring", "secretbinary", "masteruserpassword", "authtoken", "password", "randompassword", "plaintext",
    "secretaccesskey", "sessiontoken", "authorizationtoken", "privatekey", "keymaterial", "plaintextkeymaterial",
}  # fmt: skip
_SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|API_?KEY|ACCESS_KEY|PRIVATE_?KEY|CREDENTIAL|_DSN$", re.I)
_URL_PASSWORD = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://[^/\s:@\"']*:)(?P<password>[^\s\"']+)(?P<tail>@)")
"""A URL's password, up to the last `@` of the word: one that is not encoded may hold others."""
_NAMED_PASSWORD = re.compile(
    r"(?P<head>(?<![\w-])\w*passw(?:ord|d)=)(?P<password>'(?:[^'\\]|\\.)*'|[^\s&\"']+)(?P<tail>)", re.I
)
"""`?password=…` in a URL, `password=…` in a keyword string."""
_BCRYPT = re.compile(r"^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$")


def scrub(value: Any) -> Any:
    """`value` without any secret in it; what was found is registered with the process's redactor."""
    return redact.tree(_walk(value))


def secret_facts(text: str) -> dict[str, Any]:
    """The shape of a secret's value: what a requirement may know of it. The value itself is registered for redaction.

    Returns:
        `kind` (url, json, bcrypt, email, text), and for a URL or a JSON object with a host: `scheme`, `host`, `port`,
        `database`, `user`, `has_password`, `sslmode`; for JSON `keys`; for a bcrypt hash `bcrypt_cost`. Of a URL that
        programs read differently, `unreadable`: why.
    """
    redact.register(*passwords_in(text))
    text = text.strip() if scheme_of(text.strip()) else text
    if why := unreadable(text):
        return {"kind": "text", "blank": False, "looks_like_bcrypt": False, "unreadable": why}
    parts = _split(text)
    if parts:
        return {
            "kind": "url",
            **{k: v for k, v in parts.items() if k != "password"},
            "has_password": bool(parts["password"]),
        }
    hashed = _BCRYPT.match(text)
    redact.register(text)
    if hashed:
        return {"kind": "bcrypt", "bcrypt_cost": int(hashed[1])}
    if text.lstrip().startswith("{"):
        return _json_facts(text)
    if re.fullmatch(r"[^\s@]+@[^\s@]+\.[^\s@]+", text):
        return {"kind": "email"}
    return {"kind": "text", "blank": not text.strip(), "looks_like_bcrypt": text.startswith("$2")}


def _split(text: str) -> dict[str, Any] | None:
    """The parts of a URL; None when `text` is none (a port that is no number included)."""
    try:
        read_url(text)
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return None
    if not url.scheme or not url.hostname or "://" not in text:
        return None
    return {
        "scheme": url.scheme,
        "host": url.hostname,
        "port": port,
        "database": unquote(url.path.lstrip("/")),
        "user": unquote(url.username or ""),
        "password": url.password or "",
        "sslmode": (parse_qs(url.query).get("sslmode") or [""])[-1],
    }


def _json_facts(text: str) -> dict[str, Any]:
    try:
        loaded = json.loads(text)
    except ValueError:
        return {"kind": "text", "blank": False, "looks_like_bcrypt": False}
    if not isinstance(loaded, dict):
        return {"kind": "json", "keys": []}
    for key, value in loaded.items():
        if _SECRET_NAME.search(str(key)) and isinstance(value, str):
            redact.register(value)
    facts: dict[str, Any] = {"kind": "json", "keys": sorted(map(str, loaded))}
    if "host" in loaded:
        facts |= {
            "scheme": {"postgres": "postgresql"}.get(str(loaded.get("engine", "")), str(loaded.get("engine", ""))),
            "host": str(loaded["host"]),
            "port": int(loaded["port"]) if str(loaded.get("port", "")).isdigit() else None,
            "database": str(loaded.get("dbname", "")),
            "user": str(loaded.get("username", "")),
            "has_password": bool(loaded.get("password")),
            "sslmode": str(loaded.get("sslmode", "")),
        }
    return facts


def _walk(value: Any) -> Any:
    if isinstance(value, Mapping):
        named = next((value[k] for k in ("name", "Name") if isinstance(value.get(k), str)), "")
        cleaned: dict[str, Any] = {}
        for key, item in value.items():
            secret = str(key).lower() in _SECRET_KEYS or (key in ("value", "Value") and _SECRET_NAME.search(named))
            if str(key) == "SecretString" and isinstance(item, str):
                cleaned["SecretFacts"] = secret_facts(item)
            if secret and isinstance(item, str | bytes) and item:
                redact.register(item if isinstance(item, str) else None)
                cleaned[key] = MASK
            elif key == "Variables" and isinstance(item, Mapping):
                cleaned[key] = {
                    k: _mask(v) if _SECRET_NAME.search(str(k)) and isinstance(v, str) else _walk(v)
                    for k, v in item.items()
                }
            else:
                cleaned[key] = _walk(item)
        return cleaned
    if isinstance(value, list | tuple):
        return [_walk(v) for v in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return f"‹{len(value)} bytes›"
    if isinstance(value, str):
        if "://" in value:
            value = _URL_PASSWORD.sub(_hide_password, value)
        return _NAMED_PASSWORD.sub(_hide_password, value) if "=" in value else value
    return value


def _mask(value: str) -> str:
    redact.register(value)
    return MASK


def _hide_password(match: re.Match[str]) -> str:
    redact.register(unquote(match["password"]), match["password"], *passwords_in(match[0]))
    return f"{match['head']}{MASK}{match['tail']}"
