"""`cutover compare`: integrity between any two PostgreSQL databases; `cutover fingerprint`: one side of it, kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cutover.cli.output import print_out, say
from cutover.cli.root import AsJson, app
from cutover.errors import ExitCode, UsageError
from cutover.progress import transient

if TYPE_CHECKING:
    from cutover.postgres import LoadLimits, Selection
    from cutover.postgres.integrity.answer import Answer

_URL = "postgresql://user@host:5432/database, service=NAME, env:NAME or file:/path; never with a password in it"

Jobs = Annotated[int, typer.Option(min=1, max=64, help="sessions that read at the same time, on each server")]
Schemas = Annotated[list[str] | None, typer.Option("--schema", help="only this schema (globs, may be repeated)")]
Tables = Annotated[list[str] | None, typer.Option("--table", help="only this table: `public.users`, `app.*`, `users`")]
Excluded = Annotated[list[str] | None, typer.Option("--exclude", help="not this table; it wins")]
MapRole = Annotated[
    list[str] | None,
    typer.Option(
        metavar="A=B",
        help="role A of the source is role B on the target (may be repeated); owners that are "
        "one other throughout are recognised without it",
    ),
]
Audit = Annotated[bool, typer.Option("--audit", help="SHA-256: slower, and safe against an adversary too")]
MaxLoad = Annotated[
    int | None, typer.Option(min=0, help="wait while more other sessions than this are active on a server")
]
MaxWait = Annotated[float, typer.Option(min=0, help="minutes to wait for busy servers, in all")]
Rest = Annotated[float, typer.Option(min=0, max=0.9, help="share of its time that each session rests between pieces")]
StatementTimeout = Annotated[float, typer.Option(min=0, help="seconds for one statement; 0 for as long as it takes")]
LockTimeout = Annotated[float, typer.Option(min=0.001, help="seconds to wait for a lock that somebody holds")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no progress")]


@app.command()
def compare(
    source: Annotated[str, typer.Argument(help=_URL)],
    target: Annotated[str, typer.Argument(help="likewise")],
    schema: Schemas = None,
    table: Tables = None,
    exclude: Excluded = None,
    jobs: Jobs = 2,
    show: Annotated[int, typer.Option(min=0, help="differing rows named for each table; all are counted")] = 5,
    values: Annotated[bool, typer.Option("--values", help="show differing values (they may be personal data)")] = False,
    evidence: Annotated[Path | None, typer.Option(help="folder for every differing row's key, and the result")] = None,
    fingerprint: Annotated[Path | None, typer.Option(help="the source as it was: `cutover fingerprint`'s file")] = None,
    audit: Audit = False,
    rows_only: Annotated[bool, typer.Option("--rows-only", "--no-catalog", help="not the catalog")] = False,
    map_role: MapRole = None,
    strict: Annotated[bool, typer.Option("--strict", help="advisory differences count too")] = False,
    max_load: MaxLoad = None,
    max_wait: MaxWait = 30,
    rest: Rest = 0,
    statement_timeout: StatementTimeout = 1800,
    lock_timeout: LockTimeout = 5,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="write JUnit XML, a case for each finding")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Every object and every row of two databases, both ways, each side at one instant; it only reads.

    Exit code 0: equal. 3: different. 5: something could not be compared. 1: an error. 2: wrong usage.
    """
    from cutover import postgres  # noqa: PLC0415
    from cutover.postgres.integrity.answer import Answer  # noqa: PLC0415

    sides = [_database(source, "source"), _database(target, "target")]
    kept = postgres.Fingerprint.read(fingerprint) if fingerprint else None
    with transient(quiet) as progress:
        comparison = postgres.compare(
            *sides,
            jobs=jobs,
            show=show,
            evidence=evidence,
            fingerprint=kept,
            progress=progress,
            values=values,
            algorithm=kept.algorithm if kept else "sha256" if audit else "hash",
            catalog=not rows_only,
            selection=_selection(schema, table, exclude),
            load_limits=_load_limits(max_load, max_wait, rest, statement_timeout, lock_timeout),
            map_roles=_roles(map_role, rows_only=rows_only),
        )
    answer = Answer(comparison, strict=strict)
    if as_json:
        print_out(answer.to_dict(), True)
    else:
        _tell(answer)
    if junit:
        from cutover.report.junit import write_findings  # noqa: PLC0415

        write_findings(junit, "cutover compare", answer.findings(), seconds=comparison.seconds)
    raise typer.Exit(answer.code)


@app.command("fingerprint")
def fingerprint_(
    source: Annotated[str, typer.Argument(metavar="DATABASE", help=_URL)],
    file: Annotated[Path, typer.Argument(help="where it goes; compressed when the name ends in .gz")],
    schema: Schemas = None,
    table: Tables = None,
    exclude: Excluded = None,
    jobs: Jobs = 2,
    audit: Audit = False,
    max_load: MaxLoad = None,
    max_wait: MaxWait = 30,
    rest: Rest = 0,
    statement_timeout: StatementTimeout = 1800,
    lock_timeout: LockTimeout = 5,
    quiet: Quiet = False,
) -> None:
    """Digests of everything in a database at this instant, into a file, for `cutover compare --fingerprint` later."""
    from cutover import postgres  # noqa: PLC0415
    from cutover.text import duration  # noqa: PLC0415

    with transient(quiet) as progress:
        taken = postgres.fingerprint(
            _database(source, "database"),
            jobs=jobs,
            algorithm="sha256" if audit else "hash",
            selection=_selection(schema, table, exclude),
            load_limits=_load_limits(max_load, max_wait, rest, statement_timeout, lock_timeout),
            progress=progress,
        )
    taken.write(file)
    for name, reason in taken.failures.items():
        say(f"{name} is not in it: {reason}")
    say(f"{file}: {taken.rows:,} rows of {len(taken.digests):,} relations, {duration(sum(taken.seconds.values()))}.")
    raise typer.Exit(ExitCode.INCONCLUSIVE if taken.failures else ExitCode.GO)


def _database(given: str, side: str) -> str:
    """The connection string that is meant.

    Raises:
        UsageError: it is none, or has a password in it that others can read.
    """
    from cutover.postgres.connection import parameters  # noqa: PLC0415
    from cutover.secrets import is_reference, redact, resolve  # noqa: PLC0415
    from cutover.urls import HOW_TO_WRITE, holds_password, passwords_in, scheme_of, shown, unreadable  # noqa: PLC0415

    if not is_reference(given) and holds_password(given):
        redact.register(given, *passwords_in(given))
        raise UsageError(
            f"A password stands in the command line, in the URL of the {side}.",
            why="every user of this machine can read it there, and the shell keeps it in its history.",
            todo="give env:NAME or file:/path, or leave it out of the URL and use ~/.pgpass"
            + (f"; in a URL, {HOW_TO_WRITE}" if unreadable(given) else ""),
        )
    url = resolve(given).strip()
    what = f"The {side}" if given == url else f"What {given} stands for, the {side},"
    scheme = scheme_of(url)
    example = "a URL is postgresql://user@host:5432/database; a service of pg_service.conf is service=NAME"
    if scheme and scheme not in ("postgresql", "postgres"):
        if scheme.partition("+")[0] in ("postgresql", "postgres"):
            example = f"leave out +{scheme.partition('+')[2]}: that is a driver's name, which only SQLAlchemy knows"
        raise UsageError(f"{what} is no PostgreSQL database: its URL begins with {scheme}://", todo=example)
    told = redact(given) if is_reference(given) else shown(given)
    if not url or not parameters(url) or (not scheme and "=" not in url):
        raise UsageError(f"{what} is no PostgreSQL database: {told!r}", todo=example)
    return url


def _selection(schema: list[str] | None, table: list[str] | None, exclude: list[str] | None) -> Selection:
    from cutover.postgres import Selection  # noqa: PLC0415

    return Selection(schemas=tuple(schema or ()), tables=tuple(table or ()), exclude=tuple(exclude or ()))


def _roles(given: list[str] | None, *, rows_only: bool) -> dict[str, str]:
    """Role of the source to role of the target.

    Raises:
        UsageError: one is not written as A=B, or has two roles of the target, or nothing with roles is compared.
    """
    if given and rows_only:
        raise UsageError(
            "--map-role says which role is which in the catalog, and --rows-only leaves the catalog out.",
            todo="leave out one of the two",
        )
    roles: dict[str, str] = {}
    for text in given or ():
        here, _, there = text.partition("=")
        if not here or not there or roles.get(here, there) != there:
            raise UsageError(
                f"--map-role {text}: " + (f"{here} is {roles[here]} already." if here in roles else "no A=B."),
                todo="give ROLE_OF_THE_SOURCE=ROLE_OF_THE_TARGET, once for each role of the source",
            )
        roles[here] = there
    return roles


def _load_limits(max_load: int | None, max_wait: float, rest: float, statement: float, lock: float) -> LoadLimits:
    from cutover.postgres import LoadLimits  # noqa: PLC0415

    return LoadLimits(
        statement_timeout_s=statement or None,
        lock_timeout_s=lock,
        max_load=max_load,
        max_wait_s=max_wait * 60,
        idle=rest,
    )


def _tell(answer: Answer) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from cutover.secrets import redact  # noqa: PLC0415
    from cutover.text import visible  # noqa: PLC0415

    console = Console(soft_wrap=True, highlight=False)
    colour = {ExitCode.GO: "bold green", ExitCode.CLOSED: "bold red"}.get(answer.code, "bold yellow")
    console.print(Text(visible(redact(answer.headline)), style=colour))
    for style, line in answer.lines():
        console.print(Text(visible(redact(line)), style=style))
