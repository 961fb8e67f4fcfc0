"""`python -m cutover.rehearsal.cloud`: serve the AWS APIs on loopback, with the guide's architecture in them.

Prints one line, `ready {json}`, on standard output once the account is there; everything else goes to standard error.
Ends on SIGTERM, SIGINT, or with the process that started it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cutover.errors import CutoverError, UsageError
from cutover.files import write_json
from cutover.rehearsal.cloud.server import Cloud
from cutover.rehearsal.cloud.tasks import APPLICATION, NoProcesses, Processes, Runtime, parse_addresses
from cutover.rehearsal.cloud.tls import TlsFront
from cutover.signals import stop_event


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal; the exit code is 0, or the error's."""
    given = _arguments().parse_args(argv)
    ready, sys.stdout = sys.stdout, sys.stderr  # moto prints to standard output
    over = stop_event()
    try:
        _serve(given, ready, over)
    except CutoverError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    return 0


def _serve(given: argparse.Namespace, ready: Any, over: threading.Event) -> None:
    state: Path = given.state
    given_secrets, homes, runtime = _json(given.secrets), _json(given.homes), _runtime(given)
    with contextlib.ExitStack() as ending:
        cloud = ending.enter_context(
            Cloud(state, host=given.host, port=given.port, threads=given.threads, runtime=runtime)
        )
        facts: dict[str, Any] = {"endpoint": cloud.endpoint, "emulator": "5.2.5"}
        if not given.empty:
            from cutover.rehearsal.cloud.provision import Plan, provision  # noqa: PLC0415 - an empty account needs none

            redis_url = given.redis_url or str(given_secrets.get("redis") or "")
            if redis_url.startswith("redis://") and not given.plain_redis:
                front = ending.enter_context(TlsFront(redis_url, state))
                redis_url, facts["redis_certificate"] = front.url, str(front.certificate)
            wanted = Plan(
                database_url=given.database_url or str(given_secrets.get("database") or ""),
                redis_url=redis_url,
                hostname=given.hostname,
                secrets=given_secrets,
                version=given.version,
                releases=tuple(given.release),
                source_name=given.source_name,
                ttl_s=given.ttl,
                literal=given.literal,
            )
            facts |= provision(cloud.endpoint, wanted)
            write_json(state / "homes.json", homes | _balancer_home(homes, facts))
        print("ready " + json.dumps(facts, default=str), file=ready, flush=True)
        over.wait()


def _balancer_home(homes: dict[str, Any], facts: dict[str, Any]) -> dict[str, str]:
    """The balancer's DNS name is only known now; `--homes '{"balancer": "host:port"}'` says where it will answer."""
    place = homes.get("balancer")
    return {facts["load_balancer_dns"].lower(): place} if place else {}


def _runtime(given: argparse.Namespace) -> Runtime:
    if given.runtime == "none":
        return NoProcesses()
    return Processes(
        folder=given.state / "tasks",
        addresses=parse_addresses(given.task_ips),
        command=tuple(shlex.split(given.task_command)) if given.task_command else APPLICATION,
        environment={k: str(v) for k, v in _json(given.task_env).items()},
        healthy_within_s=given.healthy_within,
    )


def _json(text: str) -> dict[str, Any]:
    """A JSON object, or the name of a file that holds one: secrets belong in a file, arguments are seen by everyone."""
    try:
        value = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{text[:40]!r} is neither a JSON object nor a file that holds one: {error}.",
            todo='give \'{"name": "value"}\', or the path of such a file.',
        ) from error
    if not isinstance(value, dict):
        raise UsageError(f"A JSON object is wanted, not {type(value).__name__}.")
    return value


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cutover.rehearsal.cloud", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--threads", type=int, default=6, help="how many requests are answered at a time")
    parser.add_argument("--state", type=Path, required=True, help="folder for calls.jsonl, faults.json, targets.json")
    parser.add_argument("--empty", action="store_true", help="an account with nothing in it")
    parser.add_argument("--literal", action="store_true", help="as the guide's commands are written, mistakes and all")
    parser.add_argument("--runtime", choices=("none", "processes"), default="none", help="what an ECS task is")
    parser.add_argument("--task-ips", default="127.0.0.1", help="addresses of tasks: a,b,c or 127.1.2.21+")
    parser.add_argument("--task-command", default="", help="a task's command, with {host} and {port}")
    parser.add_argument("--task-env", default="{}", help="JSON, or a file: environment of every task")
    parser.add_argument("--healthy-within", type=float, default=20.0, help="seconds in which a task must be healthy")
    parser.add_argument("--database-url", default="", help="the server that stands for RDS, as the application uses it")
    parser.add_argument("--redis-url", default="", help="the server that stands for ElastiCache; TLS is put before it")
    parser.add_argument("--plain-redis", action="store_true", help="no TLS before a redis:// server")
    parser.add_argument("--release", action="append", default=["1.1.0"], help="a further release, pushed already")
    parser.add_argument(
        "--secrets", default="{}", help="JSON, or a file: database and redis (URLs), openai, admin_email, …"
    )
    parser.add_argument("--hostname", default="app.shadowtwin.example", help="the platform's public name")
    parser.add_argument("--source-name", default="replit.shadowtwin.example", help="where the public name points first")
    parser.add_argument("--ttl", type=int, default=300, help="seconds that the public name's record lives")
    parser.add_argument("--version", default="1.0.0", help="the release that runs first")
    parser.add_argument("--homes", default="{}", help="JSON: canonical names and their addresses, kept as homes.json")
    return parser


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # cheroot's worker threads must not hold the stage up
