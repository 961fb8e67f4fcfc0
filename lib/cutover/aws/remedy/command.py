"""One AWS CLI command from an API's arguments: flags where they are plain, one JSON document where they are nested."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from botocore import xform_name

_PLAIN = re.compile(r"^[\w@%+=:,./*-]+$")
_VARIABLE = re.compile(r"^\$[A-Z][A-Z0-9_]*$")
_LIST = re.compile(r'"@([A-Z][A-Z0-9_]*)@"')
_SPELLING = {"s3": "s3api"}
"""Where the CLI calls a service otherwise than boto3."""


def several(variable: str) -> str:
    """Stands for all words of a shell variable, where an API takes a list: `["@PRIVATE@"]`."""
    return f"@{variable}@"


def aws(service: str, operation: str, arguments: Mapping[str, Any], *, query: str = "", into: str = "") -> str:
    """A command of the AWS CLI, as a person would paste it.

    Args:
        service: boto3's name.
        operation: boto3's name of the method.
        arguments: the API's arguments in its own spelling; values may hold `$NAME`s of shell variables.
        query: a JMESPath expression for `--query`; the output is then text.
        into: the shell variable that takes the output.
    """
    head = f"aws {_SPELLING.get(service, service)} {operation.replace('_', '-')}"
    tail = (
        f" --query {shlex.quote(query)} --output text" if query else " --output json > /dev/null" if into == "-" else ""
    )
    body = head + _given(arguments) + tail
    return f"{into}=$({body})" if into and into != "-" else body


def put(service: str, operation: str, arguments: Mapping[str, Any]) -> str:
    """A command whose answer nobody reads."""
    return aws(service, operation, arguments, into="-")


def _given(arguments: Mapping[str, Any]) -> str:
    if any(_nested(v) for v in arguments.values()):
        text = json.dumps(dict(arguments), indent=2, ensure_ascii=False)
        text = _LIST.sub(lambda m: f"$(list ${m[1]})", text)
        return f' --cli-input-json "$(cat <<JSON\n{text}\nJSON\n)"'
    return "".join(f" {_flag(name, value)}" for name, value in arguments.items())


def _nested(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(v, Mapping | list) for v in value))


def _flag(name: str, value: Any) -> str:
    flag = "--" + xform_name(name, "-")
    if isinstance(value, bool):
        return flag if value else flag.replace("--", "--no-", 1)
    if isinstance(value, list):
        return f"{flag} " + " ".join(_word(v) for v in value)
    return f"{flag} {_word(value)}"


def _word(value: Any) -> str:
    """A value as the shell takes it: variables stay variables, all else is quoted where it must be."""
    text = str(value)
    if match := re.fullmatch(r"@([A-Z][A-Z0-9_]*)@", text):
        return f"${match[1]}"  # on purpose without quotes: every word is one argument
    if _VARIABLE.match(text):
        return f'"{text}"'
    if "$" in text:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("`", "\\`") + '"'
    return text if _PLAIN.match(text) else shlex.quote(text)
