"""The ordered script that mends what is FAIL or MISSING: `cutover remedy RUN > fix.sh`. Written, never run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from cutover.aws.remedy.foundation import audit_bucket
from cutover.aws.remedy.known import known
from cutover.aws.remedy.step import STEPS, Input, Place, Step, ordered
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
        text: a bash script; only comments and an exit code of 0 when nothing is to be mended.
        mends: ids that hold after it ran.
        if_given: ids that hold as well when a person gives what the script can do without.
        by_hand: ids that it cannot mend, with the reason.
        asks: what a person must give.
    """

    text: str
    mends: tuple[str, ...]
    if_given: tuple[str, ...]
    by_hand: dict[str, str]
    asks: tuple[Input, ...]


def script(findings: Iterable[Finding], stack: Stack, *, source: str = "") -> Script:
    """The script for these findings, with this account's real ids where they are known.

    Args:
        findings: of the requirements; others (waived, passed) are left alone.
        stack: the recorded responses that they were judged on.
        source: what the findings are from, for the first comment.
    """
    bad = {f.id: f for f in findings if f.status in _BAD}
    place = Place(stack, known(stack))
    steps = ordered({s.name for s in STEPS.values() if s.mends & bad.keys()}, place)
    by_step = frozenset().union(*(s.mends for s in steps)) & bad.keys()
    lines: list[str] = []
    own: list[str] = []
    by_hand: dict[str, str] = {}
    for finding in bad.values():
        if finding.id in by_step:
            continue
        commands = runnable(finding.remedy)
        if commands:
            own.append(finding.id)
            new = [c for c in commands if c not in lines]
            lines += [f"\n# {finding.id}: {_line(finding.title)}? No: {_line(finding.observed)}", *new]
        else:
            by_hand[finding.id] = _line(finding.remedy.split("\n")[0] or finding.observed)
    written = {s.name: _body(s, place) for s in steps}
    asks = _inputs(steps, written)
    optional = {s.name: i for s in steps for i in s.asks if i.optional}
    perhaps = {i for s in steps if s.name in optional for i in s.mends}
    mends = tuple(i for i in bad if (i in by_step or i in own) and i not in perhaps)
    parts = [_head(place, source, bad, mends, by_hand), _needed(asks, optional.values()), _variables(place, written)]
    for step in steps:
        parts.append(_section(step, written[step.name], bad, optional.get(step.name)))
    if lines:
        parts.append("# ---- what is there and not as it should be\n" + "\n".join(lines).strip())
    parts.append(_tail(by_hand))
    return Script(
        "\n\n".join(p for p in parts if p) + "\n", mends, tuple(i for i in bad if i in perhaps), by_hand, asks
    )


def fill(findings: Iterable[Finding], stack: Stack) -> list[Finding]:
    """The findings, each missing thing with the commands that make it, in this account's ids, and what comes first."""
    import dataclasses  # noqa: PLC0415

    findings = list(findings)
    bad = {f.id for f in findings if f.status in _BAD}
    if not bad:
        return findings
    place = Place(stack, known(stack))
    home: dict[str, Step] = {}
    for step in ordered({s.name for s in STEPS.values() if s.mends & bad}, place):
        home |= {i: step for i in sorted(step.mends & bad) if i not in home}
    first = {step.name: min(i for i in home if home[i] is step) for step in home.values()}

    def remedy(finding: Finding) -> str:
        step = home[finding.id]
        if first[step.name] != finding.id:
            return f"{first[step.name]} makes {step.what}; its remedy mends this as well"
        ahead = [STEPS[n] for n in step.needs if not STEPS[n].there(place) and STEPS[n].applies(place)]
        before = "; ".join(s.what for s in ahead)
        asked = "".join(f"\n# {i.name}: {i.what}" for i in step.asks)
        return (f"# first: {before}\n" if before else "") + _body(step, place) + asked

    return [dataclasses.replace(f, remedy=remedy(f)) if f.id in home else f for f in findings]


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


def _body(step: Step, place: Place) -> str:
    text = step.write(place)
    if not step.probe:
        return text
    probe = step.probe.format(audit=audit_bucket(place)).replace("$VPC", place.id("VPC"))
    return f"if ! {{ {probe}; }} > /dev/null 2>&1; then\n{text}\nfi"


def _inputs(steps: list[Step], written: dict[str, str]) -> tuple[Input, ...]:
    found = {i.name: i for s in steps for i in s.asks if not i.optional and f"${i.name}" in written[s.name]}
    return tuple(found.values())


def _head(place: Place, source: str, bad: dict[str, Finding], mends: tuple[str, ...], by_hand: dict[str, str]) -> str:
    m = place.m
    return f"""#!/usr/bin/env bash
# Mends {len(mends)} of the {len(bad)} requirements that are FAIL or MISSING{f" in {source}" if source else ""}.
# Written by `cutover remedy`; Cutover never runs it. Read it first: it makes things that cost money.
# It asks for what only you know, and for nothing secret in clear: files are named, not their contents.
# A second run makes things twice: check the account again (02) and write a new script instead.
# {len(by_hand)} more are named at the end, for a person.
set -eu -o pipefail
umask 077
export AWS_DEFAULT_REGION={m.region} AWS_REGION={m.region} AWS_PAGER=''
if [ "$(aws sts get-caller-identity --query Account --output text)" != {m.account_id} ]; then
  echo 'These are not the credentials of account {m.account_id}: nothing was done.' >&2
  exit 2
fi
PRIVATE_FOLDER=$(mktemp -d)
trap 'rm -rf "$PRIVATE_FOLDER"' EXIT
LEFT=''
list() {{ local words; printf -v words '"%s",' "$@"; printf '%s' "${{words%,}}"; }}"""


def _needed(asks: Iterable[Input], optional: Iterable[Input]) -> str:
    lines = [f': "${{{i.name}:?{_quiet(i.what)}}}"' for i in asks]
    lines += [f'if [ -n "${{{i.name}##/*}}" ]; then echo "{i.name}: give the whole path, from /" >&2; exit 2; fi\n'
              f'[ -r "${i.name}" ] || {{ echo "{i.name}: ${i.name} cannot be read" >&2; exit 2; }}'
              for i in asks if i.name.endswith("_FILE")]  # fmt: skip
    for i in asks:
        if i.name == "REDIS_TOKEN_FILE":
            lines.append('grep -qE "^[A-Za-z0-9-]{32,128}$" "$REDIS_TOKEN_FILE" || '
                         '{ echo "REDIS_TOKEN_FILE: 32-128 letters, digits and -" >&2; exit 2; }')  # fmt: skip
    lines += [f"# {i.name}, where you have it: {i.what}" for i in optional]
    return "# ---- what only a person knows\n" + "\n".join(lines) if lines else ""


def _variables(place: Place, written: dict[str, str]) -> str:
    whole = "\n".join(written.values())
    used = [v for v in place.known if re.search(rf"\${{?{v}\b", whole)]
    lines = [f"{v}={shlex.quote(place.known[v])}" for v in used]
    return "# ---- there already\n" + "\n".join(lines) if lines else ""


def _section(step: Step, body: str, bad: dict[str, Finding], optional: Input | None) -> str:
    ids = sorted(step.mends & bad.keys())
    head = f"# ---- {step.name}: {step.what}" + (f"\n# mends {' '.join(ids)}" if ids else "\n# needed below")
    say = f"echo {shlex.quote('… ' + step.what)} >&2"
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
    return re.sub(r'["`$\\{}]', "'", _line(text))
