"""What a parameter file writes in text: durations, percentages, dates, account ids, endpoints and references."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from cutover.secrets import is_reference
from cutover.urls import holds_password, unreadable

IN_CLEAR = "secret_in_clear"
"""The kind of error of a value that may be a secret in clear: whoever shows the error does not show the value."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(value: Any) -> timedelta:
    """`90s`, `10m`, `1h30m`, `250ms` as a time span; a number without a unit is refused."""
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h|d))+", value):
        raise ValueError("a duration with its unit, such as 30s, 10m, 1h30m or 250ms")
    pieces = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", value)
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in pieces))


def format_duration(span: timedelta) -> str:
    """The inverse of `parse_duration`, in the largest units that are exact to the millisecond."""
    rest = round(span.total_seconds() * 1000)
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _percent(value: Any) -> float:
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?%", value):
        return float(value[:-1]) / 100
    raise ValueError("a percentage with its sign, such as 5%")


def _date(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        return date.fromisoformat(value)
    raise ValueError("a date such as 2026-12-31")


def _no_clear_secret(value: Any) -> Any:
    if isinstance(value, str) and not is_reference(value) and (holds_password(value) or unreadable(value)):
        raise PydanticCustomError(
            IN_CLEAR,
            "a URL without a password that every program reads alike; "
            "write a reference instead: env:NAME, secretsmanager:NAME or file:/path",
        )
    return value


def _reference_only(value: Any) -> Any:
    if isinstance(value, str) and not is_reference(value):
        raise PydanticCustomError(
            IN_CLEAR, "a reference, never the secret itself: env:NAME, secretsmanager:NAME or file:/path"
        )
    return value


def _account(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError('an account id in quotes, "012345678901": as a number it loses its leading zero')
    if not isinstance(value, str) or not re.fullmatch(r"\d{12}", value):
        raise ValueError('an AWS account id: twelve digits in quotes, "012345678901"')
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$", "examples": ["30s", "10m"]}),
]
Percent = Annotated[
    float,
    BeforeValidator(_percent),
    PlainSerializer(lambda v: f"{v * 100:g}%"),
    Field(ge=0, le=1),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?%$", "examples": ["5%"]}),
]
AccountId = Annotated[str, BeforeValidator(_account), WithJsonSchema({"type": "string", "pattern": r"^\d{12}$"})]
Endpoint = Annotated[str, BeforeValidator(_no_clear_secret), Field(min_length=3)]
"""A URL without a password, or a reference to one."""
SecretRef = Annotated[str, BeforeValidator(_reference_only)]
Region = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
Day = Annotated[date, BeforeValidator(_date), WithJsonSchema({"type": "string", "format": "date"})]
