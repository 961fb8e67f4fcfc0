"""The blueprint's calls as commands of the AWS CLI, as a person pastes them into bash."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore import xform_name

from cutover.aws.blueprint.operation import (
    ENCODED,
    SEVERAL,
    UNIQUE,
    VARIABLE,
    Call,
    Demand,
    Each,
    Let,
    Node,
    Say,
    Wait,
    Write,
    filled,
)

_PLAIN = re.compile(r"^[\w@%+=:,./*-]+$")
_WHOLE = re.compile(r"^\$[A-Z][A-Z0-9_]*$")
_LIST = re.compile(f'"{SEVERAL.pattern}"')
_SERVICES = {"s3": "s3api"}
"""Where the CLI calls a service otherwise than boto3."""
_FLAGS = {("sns", "Endpoint"): "--notification-endpoint"}
"""Where the CLI calls a parameter otherwise, for its own option of that name comes first."""

Known = Callable[[str], str | None]
"""The value of a variable that is known already."""


def unknown(name: str) -> None:
    """Nothing is known: an empty account."""


def script(nodes: Sequence[Node], known: Known = unknown) -> str:
    """The commands, one after the other; what is known is put in, all else is left to shell variables.

    `list` (all words, quoted and parted by commas), `$PRIVATE_FOLDER` and `$LEFT` must be there: the head of
    `cutover remedy`'s script makes them.
    """
    return "\n".join(_RENDER[type(node)](node, known) for node in nodes)


def command(call: Call, known: Known = unknown) -> str:
    """One call, without what becomes of its answer."""
    given = {name: filled(value, known) for name, value in call.arguments.items()}
    region = f"--region {call.region} " if call.region else ""
    head = f"aws {region}{_SERVICES.get(call.service, call.service)} {call.operation.replace('_', '-')}"
    return (head + _given(call.service, given)).replace(UNIQUE, "$(date +%s)")


def _call(call: Call, known: Known) -> str:
    if call.into:
        return f"{call.into}=$({_asked(call, known)})"
    if call.show:
        return f"{_asked(call, known)} >&2"
    return f"{command(call, known)} > /dev/null"


def _asked(call: Call, known: Known) -> str:
    return f"{command(call, known)} --query {shlex.quote(call.query)} --output text"


def _wait(wait: Wait, known: Known) -> str:
    text = command(Call(wait.service, f"wait_{wait.waiter}", wait.arguments), known)
    text = text.replace(f"wait-{wait.waiter.replace('_', '-')}", f"wait {wait.waiter.replace('_', '-')}", 1)
    return text if not wait.otherwise else f'{text} \\\n  || LEFT="$LEFT\n{wait.otherwise}"'


def _let(let: Let, known: Known) -> str:
    text = filled(let.text, known)
    if not VARIABLE.search(text):
        return f"{let.name}={shlex.quote(text.split(let.after, 1)[-1] if let.after else text)}"
    if not let.after:
        return f"{let.name}={_word(text)}"
    return f"{let.name}=${{{text.strip('${}')}#*{let.after}}}"


def _write(write: Write, known: Known) -> str:
    parts = [_part(part) for part in write.parts]
    text = shlex.quote(write.text.format(*["%s"] * len(parts)))
    return f'printf {text} {" ".join(parts)} > "$PRIVATE_FOLDER/{write.name}"'


_ENCODE = (
    'python3 -c \'import sys, urllib.parse; print(urllib.parse.quote(sys.stdin.read().strip("\\n"), safe=""), end="")\''
)


def _part(part: str) -> str:
    file = part.removeprefix(ENCODED).removeprefix("file://")
    if part.startswith(ENCODED):
        return f'"$({_ENCODE} < "{file}")"'
    return f'"$(cat "{file}")"' if part.startswith("file://") else _word(part)


def _each(each: Each, known: Known) -> str:
    counted = Call(each.look.service, each.look.operation, each.look.arguments, query=f"length({each.look.query})")
    return "\n".join([
        f'until [ "$({_asked(counted, known)})" != 0 ]; do sleep 3; done   # it takes AWS a few seconds',
        f"{_asked(each.look, known)} | sort -u | while read -r {' '.join(each.names)}; do",
        _call(each.do, known),
        "done"])  # fmt: skip


def _demand(demand: Demand, known: Known) -> str:
    said = [f"  echo {shlex.quote(line)} >&2" for line in demand.otherwise]
    return "\n".join([f"if ! {command(demand.look, known)} > /dev/null; then", *said, "  exit 1", "fi"])


def _say(say: Say, known: Known) -> str:
    return f"echo {shlex.quote(say.text)} >&2"


_RENDER: Mapping[type, Callable[[Any, Known], str]] = {
    Call: _call, Wait: _wait, Let: _let, Write: _write, Each: _each, Demand: _demand, Say: _say
}  # fmt: skip


def _given(service: str, arguments: Mapping[str, Any]) -> str:
    """Flags where all is plain, one JSON document where something is nested; files are always flags."""
    files = {n: v for n, v in arguments.items() if isinstance(v, str) and v.startswith("file://")}
    others = {n: v for n, v in arguments.items() if n not in files}
    flags = "".join(f' {_flag(service, n)} "{v}"' for n, v in files.items())
    if any(_nested(v) for v in others.values()):
        text = json.dumps(others, indent=2, ensure_ascii=False)
        text = _LIST.sub(lambda m: f"$(list ${m[1]})", text)
        return f' --cli-input-json "$(cat <<JSON\n{text}\nJSON\n)"' + flags
    return "".join(f" {_option(service, n, v)}" for n, v in others.items()) + flags


def _nested(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(v, Mapping | list) for v in value))


def _flag(service: str, name: str) -> str:
    return _FLAGS.get((service, name), "--" + xform_name(name, "-"))


def _option(service: str, name: str, value: Any) -> str:
    flag = _flag(service, name)
    if isinstance(value, bool):
        return flag if value else flag.replace("--", "--no-", 1)
    if isinstance(value, list):
        return f"{flag} " + " ".join(_word(v) for v in value)
    return f"{flag} {_word(value)}"


def _word(value: Any) -> str:
    """A value as the shell takes it: variables stay variables, all else is quoted where it must be."""
    text = str(value)
    if match := SEVERAL.fullmatch(text):
        return f"${match[1]}"  # on purpose without quotes: every word is one argument
    if _WHOLE.match(text):
        return f'"{text}"'
    if "$" in text:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("`", "\\`") + '"'
    return text if _PLAIN.match(text) else shlex.quote(text)
