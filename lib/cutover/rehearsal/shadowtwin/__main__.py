"""`python -m cutover.rehearsal.shadowtwin --host H --port P`: one instance of the stand-in application."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys

from cutover.rehearsal.http1 import Server
from cutover.rehearsal.shadowtwin.app import App
from cutover.rehearsal.shadowtwin.jobs import Jobs
from cutover.rehearsal.shadowtwin.reports import open_shelf
from cutover.rehearsal.shadowtwin.settings import Settings
from cutover.rehearsal.shadowtwin.store import Store

GRACE_S = 5.0
"""Seconds that requests and jobs under way get after SIGTERM."""


def main() -> int:
    """Serve until SIGTERM or SIGINT; prints `listening` and the address once it accepts."""
    parser = argparse.ArgumentParser(prog="python -m cutover.rehearsal.shadowtwin", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT") or 5000))
    parser.add_argument("--no-worker", action="store_true", help="serve requests only, leave the queues alone")
    arguments = parser.parse_args()
    return asyncio.run(_serve(arguments.host, arguments.port, worker=not arguments.no_worker))


async def _serve(host: str, port: int, *, worker: bool) -> int:
    settings = Settings.from_environment(os.environ)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        where = settings.reports
        shelf = open_shelf(where, endpoint=settings.aws_endpoint, region=settings.region) if where else None
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    jobs = Jobs(settings.redis_url) if settings.redis_url else None
    app = App(settings, Store(settings.database_url), shelf, jobs)
    server = Server(app.handle)
    try:
        port = await server.start(host, port)
    except OSError as error:
        print(f"cannot listen on {host}:{port}: {error.strerror or error}", file=sys.stderr)
        return 1
    await app.start(worker=worker)
    print(f"listening http://{host}:{port}", flush=True)
    await stop.wait()
    app.release()
    await server.close(grace_s=GRACE_S)
    await app.stop(grace_s=GRACE_S / 2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
