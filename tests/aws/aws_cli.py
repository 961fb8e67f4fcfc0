"""A stand-in for the AWS CLI: bash runs a script for real, and each `aws …` in it becomes a call of botocore.

The CLI itself is not in the environment. Its rules are few: `--some-name` is the argument SomeName, values follow the
API's model, `--cli-input-json` gives whole documents, `--query` is JMESPath, `wait` is a waiter, `file://` a file.
"""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import jmespath
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

_SERVICES = {"s3api": "s3"}
_RENAMED = {("sns", "notification-endpoint"): "Endpoint"}
_OWN = {"ec2": ("protocol", "port", "cidr", "source-group")}
"""Options of the CLI itself: for a permission of a security group."""
_FUNCTION = """
aws() {
  local answer code
  exec 9<>/dev/tcp/127.0.0.1/PORT
  { printf '%s\\n' "$#"; local word; for word in "$@"; do printf '%s\\0' "$word"; done; } >&9
  IFS= read -r code <&9
  answer=$(cat <&9)
  exec 9>&-
  if [ "$code" = 0 ]; then printf '%s\\n' "$answer"; else printf '%s\\n' "$answer" >&2; fi
  return "$code"
}
export -f aws
"""


class Cli:
    """Answers the commands of scripts, one after the other; `made` keeps what was called."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.made: list[str] = []
        self._session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing")
        self._clients: dict[tuple[str, str], Any] = {}

    def answer(self, words: list[str]) -> tuple[int, str]:
        """Exit code and output of one command."""
        region = "us-east-1"
        if words[:1] == ["--region"]:
            region, words = words[1], words[2:]
        service, operation, *rest = words
        waiter, options = "", rest
        if operation == "wait":
            waiter, options = rest[0], rest[1:]
        client = self._client(_SERVICES.get(service, service), region)
        given = _options(options)
        query, given = given.pop("query", [""])[0], {k: v for k, v in given.items() if k not in ("output",)}
        self.made.append(f"{service} {operation} {waiter}".strip())
        try:
            if waiter:
                known = client.get_waiter(waiter.replace("-", "_"))
                method = client.meta.method_to_api_mapping[xform_name(known.config.operation)]
                arguments = _arguments(client, method, service, given)
                known.wait(**arguments, WaiterConfig={"Delay": 0.1, "MaxAttempts": 200})
                return 0, ""
            method = client.meta.method_to_api_mapping[operation.replace("-", "_")]
            arguments = _arguments(client, method, service, given)
            answer = getattr(client, operation.replace("-", "_"))(**arguments)
        except (ClientError, BotoCoreError, KeyError, ValueError) as error:
            return 254, f"{service} {operation}: {error!r}"
        answer.pop("ResponseMetadata", None)
        return 0, _text(jmespath.search(query, answer)) if query else json.dumps(answer, default=str)

    def _client(self, service: str, region: str) -> Any:
        if (service, region) not in self._clients:
            self._clients[service, region] = self._session.client(
                service,  # type: ignore[call-overload]
                region_name=region,
                endpoint_url=self.endpoint,
                config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, proxies={}),
            )
        return self._clients[service, region]


def arguments_of(words: list[str], client: Callable[[str], Any]) -> tuple[str, str, dict[str, Any]]:
    """A command's service, method and arguments, as boto3 calls them; nothing is called.

    Raises:
        KeyError: the API has no such operation or parameter.
    """
    service, operation, *options = words
    name, method = _SERVICES.get(service, service), operation.replace("-", "_")
    given = {
        k: v for k, v in _options(options).items() if k not in ("query", "output", "region", *_OWN.get(service, ()))
    }
    api = client(name).meta.method_to_api_mapping[method]
    return name, method, _arguments(client(name), api, service, given)


def _options(words: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name = word[2:]
            found[name] = []
        else:
            named = word.startswith("file://") and "$" not in word  # which stays as it is, where nothing is run
            found[name].append(Path(word[7:]).read_text() if named else word)
    return found


def _arguments(client: Any, method: str, service: str, options: Mapping[str, list[str]]) -> dict[str, Any]:
    shape = client.meta.service_model.operation_model(method).input_shape
    members = {xform_name(name, "-"): (name, member) for name, member in (shape.members if shape else {}).items()}
    given: dict[str, Any] = {}
    for option, values in options.items():
        if option == "cli-input-json":
            given |= json.loads(values[0])
            continue
        renamed = _RENAMED.get((service, option))
        if renamed:
            given[renamed] = values[0]
            continue
        yes = not (option.startswith("no-") and option not in members)
        name, member = members[option if yes else option.removeprefix("no-")]
        given[name] = yes if member.type_name == "boolean" and not values else _value(member, values)
    return given


def _value(member: Any, values: list[str]) -> Any:
    kind = member.type_name
    if kind in ("structure", "map", "list") and values and values[0][:1] in "{[":
        return json.loads(values[0])
    if kind == "list":
        return [_value(member.member, [v]) for v in values]
    if kind in ("structure", "map"):
        return _shorthand(member, values)
    if kind in ("integer", "long"):
        return int(values[0])
    if kind in ("float", "double"):
        return float(values[0])
    if kind == "boolean":
        return values[0] == "true"
    return values[0]


def _shorthand(member: Any, values: list[str]) -> dict[str, Any]:
    if not values and set(member.members) == {"Value"}:  # a boolean attribute of EC2, as in --enable-dns-hostnames
        return {"Value": True}
    found = {}
    for part in _parts(",".join(values)):
        key, _, value = part.partition("=")
        inner = member.members[key] if member.type_name == "structure" else member.value
        if value[:1] in ("{", "["):
            inside = _parts(value[1:-1])
            found[key] = [_value(inner.member, [v]) for v in inside] if value[0] == "[" else _shorthand(inner, inside)
        else:
            found[key] = _value(inner, [value])
    return found


def _parts(text: str) -> list[str]:
    """What stands between the outermost commas."""
    found, depth = [""], 0
    for sign in text:
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(sign, 0)
        if sign == "," and not depth:
            found.append("")
        else:
            found[-1] += sign
    return found


def _text(value: Any) -> str:
    """As `--output text`: rows on lines, columns by tabs."""
    if isinstance(value, list):
        if any(isinstance(v, list) for v in value):
            return "\n".join("\t".join(map(_text, row)) for row in value)
        return "\t".join(map(_text, value))
    return "None" if value is None else str(value)


@contextmanager
def command_line(endpoint: str) -> Iterator[tuple[Cli, str]]:
    """A Cli, and the bash code that defines `aws` as it."""
    cli = Cli(endpoint)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            count = int(self.rfile.readline())
            words = []
            for _ in range(count):
                word = bytearray()
                while (byte := self.rfile.read(1)) not in (b"\0", b""):
                    word += byte
                words.append(word.decode())
            code, text = cli.answer(words)
            self.wfile.write(f"{code}\n{text}".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield cli, _FUNCTION.replace("PORT", str(server.server_address[1]))
        finally:
            server.shutdown()
            thread.join(timeout=5)


def run_script(text: str, function: str, folder: Path, **given: str) -> subprocess.CompletedProcess[str]:
    """Run a remedy script with `aws` as given, nothing but its own inputs in the environment."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "aws.sh").write_text(function)
    (folder / "fix.sh").write_text(text)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "BASH_ENV": str(folder / "aws.sh"), **given}
    return subprocess.run(
        ["bash", str(folder / "fix.sh")], env=environment, capture_output=True, text=True, timeout=240, check=False
    )
