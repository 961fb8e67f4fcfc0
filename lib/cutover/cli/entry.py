"""The way in and the only way out: every error is one readable message, its exit code the truth."""

from __future__ import annotations

import sys
import traceback

import typer

from cutover.cli import comparing, evidence, joining, params, rehearsing, remedy, requirements, running
from cutover.cli.output import say
from cutover.cli.root import app
from cutover.errors import CutoverError, ExitCode, UsageError
from cutover.signals import way_out

GROUPS = (rehearsing, running, evidence, comparing, params, remedy, joining, requirements)
"""The modules that register their commands with `app`; a new group is added here."""


def main() -> None:
    """Run the command; every error is one readable message, its exit code the truth."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    with way_out():
        _run(debug)


def _run(debug: bool) -> None:
    from cutover.secrets import redact  # noqa: PLC0415

    redact.register_environment()
    try:
        ended = app(_joined(sys.argv[1:]), standalone_mode=False)
        code = ended if isinstance(ended, int) else 0  # typer returns what `typer.Exit` was raised with
        if code == ExitCode.INTERRUPTED:  # typer turns Ctrl-C into an Exit
            say("Interrupted.")
    except CutoverError as error:
        if debug:
            say(traceback.format_exc().rstrip())
        say(f"{'' if isinstance(error, UsageError) else type(error).__name__ + ': '}{error}")
        code = int(error.exit_code)
    except KeyboardInterrupt:
        say("Interrupted.")
        code = ExitCode.INTERRUPTED
    except typer.Abort:
        say("Interrupted.")
        code = ExitCode.INTERRUPTED
    except OSError as error:
        if debug:
            say(traceback.format_exc().rstrip())
        say(f"{error.strerror or error}: {error.filename or 'no file named'}")
        say("What to do: make room or give a folder that may be written, then run again.")
        code = ExitCode.BROKE
    except Exception as error:
        if debug:
            say(traceback.format_exc().rstrip())
        elif hasattr(error, "exit_code") and hasattr(error, "show"):
            error.show()
            raise SystemExit(ExitCode.USAGE) from None
        say(f"Something broke: {type(error).__name__}: {error}")
        say("What to do: run it again with --debug and show the lines to whoever keeps Cutover.")
        code = ExitCode.BROKE
    sys.stdout.flush()
    raise SystemExit(int(code))


def _joined(words: list[str]) -> list[str]:
    """`-p KEY VALUE`, as papermill has it, made one word for the parser, which takes options of one value only.

    Raises:
        UsageError: a key without a value.
    """
    joined, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        joined.append(word)
        if word == "-p":
            if len(rest) < 2:
                raise UsageError("-p needs a key and a value.", todo="for instance: -p jobs 4")
            if rest[1].startswith("--"):
                raise UsageError(f"-p {rest[0]} has no value.", todo="a key and a value, for instance: -p jobs 4")
            joined.append(f"{rest.pop(0)}={rest.pop(0)}")
    return joined
