"""The ordered script that fixes what is FAIL or MISSING: `cutover remedy RUN > fix.sh`. Written, never run."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from cutover.aws.blueprint import BLUEPRINT, Input, Resource, Site, again, ordered, shell
from cutover.aws.remedy.known import Known
from cutover.aws.requirements.stack import Stack
from cutover.finding import Finding, Status

_BAD = {Status.FAIL, Status.MISSING}
_PLACEHOLDER = re.compile(r"…|\.\.\.|<[^<>|]*>|YOUR_|file://(?!\$|/)")
_LOOKS = re.compile(r"^aws \S+ (describe|list|get|lookup|filter|tail|wait|search)\b")
_TRAILING = re.compile(r"\s{2,}#.*$")


@dataclass(frozen=True, slots=True)
class Script:
    """What `cutover remedy` prints.

    Attributes:
        text: a bash script; only comments and an exit code of 0 when nothing is to be fixed.
        fixes: ids that hold after it ran.
        if_given: ids that hold as well when a person gives what the script can do without.
        by_hand: ids that it cannot fix, with the reason.
        asks: what a person must give.
    """

    text: str
    fixes: tuple[str, ...]
    if_given: tuple[str, ...]
    by_hand: dict[str, str]
    asks: tuple[Input, ...]


@dataclass
class _Plan:
    """Which rows of the blueprint fix which findings, in this account.

    Attributes:
        bad: the findings that are FAIL or MISSING, by id.
        rows: the resources that are not there and fix some of them, each after what it needs.
    """

    findings: Iterable[Finding]
    stack: Stack
    bad: dict[str, Finding] = field(init=False)

    def __post_init__(self) -> None:
        self.bad = {f.id: f for f in self.findings if f.status in _BAD}
        self.site = Site.of(self.stack.migration, self.stack.source_major)
        self.known = Known(self.stack)

    @cached_property
    def rows(self) -> list[Resource]:
        names = {r.name for r in BLUEPRINT.values() if r.fixes & self.bad.keys()}
        return ordered(names, self.site, self.known.there)

    @cached_property
    def made_by(self) -> dict[str, Resource]:
        """The first row that fixes each finding."""
        found: dict[str, Resource] = {}
        for row in self.rows:
            found |= {i: row for i in sorted(row.fixes & self.bad.keys()) if i not in found}
        return found

    def body(self, row: Resource, otherwise: str = "") -> str:
        """The commands that make a resource, unless its probe finds it; then those of `otherwise`."""
        text = shell.script(row.nodes(self.site), self.known)
        if row.probe is None:
            return text
        probe = shell.command(row.probe(self.site), self.known)
        probe += f" | grep -q {row.found}" if row.found else ""
        return f"if ! {{ {probe}; }} > /dev/null 2>&1; then\n{text}\n{otherwise}fi"

    def again(self, identifier: str) -> str:
        """The commands that fix one finding in what is there; "" when the blueprint has none."""
        texts = []
        for row, nodes in again(identifier, self.site):
            text = shell.script(nodes, self.known)
            texts.append(self.body(row, f"else\n{text}\n") if row.probe else text)
        return "\n".join(texts)

    def asks(self, text: str) -> tuple[Input, ...]:
        """What a person must give for some commands."""
        found = {i.name: i for r in BLUEPRINT.values() for i in r.asks if re.search(rf"\${i.name}\b", text)}
        return tuple(found.values())


def fill(findings: Iterable[Finding], stack: Stack) -> list[Finding]:
    """The findings, each with the blueprint's commands that fix it, in this account's ids, and what comes first.

    What is not there gets the commands that make it; what is there and wrong, those that set it right. A requirement
    that says by itself what is to be done keeps its own words.
    """
    findings = list(findings)
    plan = _Plan(findings, stack)
    first = {row.name: min(i for i, r in plan.made_by.items() if r is row) for row in plan.made_by.values()}

    def remedy(finding: Finding) -> str:
        row = plan.made_by.get(finding.id)
        if row is None and finding.remedy:
            return finding.remedy
        if row is None:
            text = plan.again(finding.id)
        elif first[row.name] != finding.id:
            return f"{first[row.name]} makes {row.what}; its remedy fixes this as well"
        else:
            needed = [BLUEPRINT[n] for n in row.needs]
            ahead = "; ".join(r.what for r in needed if r.applies(plan.site) and not plan.known.there(r))
            text = (f"# first: {ahead}\n" if ahead else "") + plan.body(row)
        return text + "".join(f"\n# {i.name}: {i.what}" for i in plan.asks(text))

    return [dataclasses.replace(f, remedy=remedy(f)) if f.id in plan.bad else f for f in findings]


def script(findings: Iterable[Finding], stack: Stack, *, source: str = "") -> Script:
    """The script for these findings, with this account's real ids where they are known.

    Args:
        findings: of the requirements; others (waived, passed) are left alone.
        stack: the recorded responses that they were judged on.
        source: what the findings are from, for the first comment.
    """
    plan = _Plan(findings, stack)
    bad, rows = plan.bad, plan.rows
    own, by_hand = _in_place(plan)
    written = {r.name: plan.body(r) for r in rows}
    whole = "\n".join([*written.values(), *own.values()])
    optional = {r.name: i for r in rows for i in r.asks if i.optional}
    perhaps = {i for r in rows if r.name in optional for i in r.fixes}
    fixes = tuple(i for i in bad if (i in plan.made_by or i in own) and i not in perhaps)
    asks = tuple(i for i in plan.asks(whole) if not i.optional)
    parts = [_head(plan.site, source, bad, fixes, by_hand), _needed(asks, optional.values())]
    parts += [_section(row, written[row.name], bad, optional.get(row.name)) for row in rows]
    if own:
        parts.append("# ---- what is there and not as it should be\n" + _different(own, bad))
    parts.append(_tail(by_hand))
    if_given = tuple(i for i in bad if i in perhaps)
    return Script("\n\n".join(p for p in parts if p) + "\n", fixes, if_given, by_hand, asks)


def _in_place(plan: _Plan) -> tuple[dict[str, str], dict[str, str]]:
    """What is there and wrong: by id the commands that set it right, and the reason where a person must."""
    own: dict[str, str] = {}
    by_hand: dict[str, str] = {}
    for finding in plan.bad.values():
        if finding.id in plan.made_by:
            continue
        text = plan.again(finding.id)
        if finding.remedy and not (text and finding.remedy.startswith(text)):  # the requirement's own words
            text = "\n".join(runnable(finding.remedy))
        if text:
            own[finding.id] = text
        else:
            by_hand[finding.id] = _line(finding.remedy.split("\n")[0] or finding.observed)
    return own, by_hand


def _different(own: dict[str, str], bad: dict[str, Finding]) -> str:
    """The commands, each once, below what it is for."""
    lines: list[str] = []
    for identifier, text in own.items():
        finding = bad[identifier]
        new = [text] if text not in lines else []
        lines += [f"\n# {identifier}: {_line(finding.title)}? No: {_line(finding.observed)}", *new]
    return "\n".join(lines).strip()


def runnable(remedy: str) -> list[str]:
    """The commands of a remedy that can be run as they stand; none when one of them has something left to fill in."""
    text = remedy.replace("\\\n", " ")
    commands = [_TRAILING.sub("", line).strip() for line in text.splitlines() if line.strip().startswith("aws ")]
    commands = [c for c in commands if not _LOOKS.match(c)]
    try:
        for command in commands:
            shlex.split(command)
    except ValueError:
        return []
    return [] if any(_PLACEHOLDER.search(c) for c in commands) else commands


def _head(site: Site, source: str, bad: dict[str, Finding], fixes: tuple[str, ...], by_hand: dict[str, str]) -> str:
    return f"""#!/usr/bin/env bash
# Fixes {len(fixes)} of the {len(bad)} requirements that are FAIL or MISSING{f" in {source}" if source else ""}.
# Written by `cutover remedy`; Cutover never runs it. Read it first: it makes things that cost money.
# It asks for what only you know, and for nothing secret in clear: files are named, not their contents.
# A second run makes things twice: check the account again (02) and write a new script instead.
# {len(by_hand)} more are named at the end, for a person.
set -eu -o pipefail
umask 077
export AWS_DEFAULT_REGION={site.region} AWS_REGION={site.region} AWS_PAGER=''
if [ "$(aws sts get-caller-identity --query Account --output text)" != {site.account} ]; then
  echo 'These are not the credentials of account {site.account}: nothing was done.' >&2
  exit 2
fi
PRIVATE_FOLDER=$(mktemp -d)
trap 'rm -rf "$PRIVATE_FOLDER"' EXIT
LEFT=''
list() {{ local words; printf -v words '"%s",' "$@"; printf '%s' "${{words%,}}"; }}"""


def _needed(asks: Iterable[Input], optional: Iterable[Input]) -> str:
    lines = [f': "${{{i.name}:?{_quiet(i.what)}}}"' for i in asks if not i.default]
    lines += [f'{i.name}="${{{i.name}:-{i.default}}}"   # {i.what}' for i in asks if i.default]
    lines += [f'if [ -n "${{{i.name}##/*}}" ]; then echo "{i.name}: give the whole path, from /" >&2; exit 2; fi\n'
              f'[ -r "${i.name}" ] || {{ echo "{i.name}: ${i.name} cannot be read" >&2; exit 2; }}'
              for i in asks if i.name.endswith("_FILE")]  # fmt: skip
    for i in asks:
        if i.name == "REDIS_TOKEN_FILE":
            lines.append('grep -qE "^[A-Za-z0-9-]{32,128}$" "$REDIS_TOKEN_FILE" || '
                         '{ echo "REDIS_TOKEN_FILE: 32-128 letters, digits and -" >&2; exit 2; }')  # fmt: skip
    lines += [f"# {i.name}, where you have it: {i.what}" for i in optional]
    return "# ---- what only a person knows\n" + "\n".join(lines) if lines else ""


def _section(row: Resource, body: str, bad: dict[str, Finding], optional: Input | None) -> str:
    ids = sorted(row.fixes & bad.keys())
    head = f"# ---- {row.name}: {row.what}" + (f"\n# fixes {' '.join(ids)}" if ids else "\n# needed below")
    say = f"echo {shlex.quote('… ' + row.what)} >&2"
    if optional is None:
        return f"{head}\n{say}\n{body}"
    left = f'  LEFT="$LEFT\n{" ".join(ids)}: {optional.name} was not given, {_quiet(optional.what)}"'
    return f'{head}\nif [ -n "${{{optional.name}:-}}" ]; then\n{say}\n{body}\nelse\n{left}\nfi'


def _tail(by_hand: dict[str, str]) -> str:
    left = "\n".join(f"{i}: {_quiet(why)}" for i, why in by_hand.items())
    return f"""# ---- what this script cannot do
LEFT="$LEFT{chr(10) + left if left else ""}"
if [ -n "$LEFT" ]; then
  echo "Left for a person:$LEFT" >&2
  exit 3
fi
echo 'Done. Check the account again: cutover run 02 --params …' >&2"""


def _line(text: str) -> str:
    return " ".join(text.split())[:300]


def _quiet(text: str) -> str:
    """Words that mean nothing to the shell within double quotes and ${NAME:?…}."""
    return re.sub(r"""["'`$\\{}]""", "’", _line(text))
