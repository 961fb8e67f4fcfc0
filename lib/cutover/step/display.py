"""What a step shows: banner, findings, plans and verdict, as HTML that reads without colour and as plain text."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from cutover.action import Plan
from cutover.finding import Finding, Status, Verdict
from cutover.secrets import redact
from cutover.step.conclusion import Conclusion
from cutover.text import cut

# Okabe and Ito's palette, darkened to a contrast of 4.5:1 against white; the word always stands beside the colour.
_BLUE, _ORANGE, _VERMILION, _GREY, _PURPLE = "#005a8c", "#8a5a00", "#a83c00", "#595959", "#8f4a72"
_COLOURS = {
    Status.PASS: _BLUE,
    Status.FAIL: _VERMILION,
    Status.MISSING: _VERMILION,
    Status.UNKNOWN: _ORANGE,
    Status.NOT_COMPARED: _ORANGE,
    Status.MANUAL: _ORANGE,
    Status.WAIVED: _PURPLE,
    Status.NOT_DUE: _GREY,
    Status.NOT_APPLICABLE: _GREY,
}
_VERDICTS = {
    Verdict.GO: _BLUE,
    Verdict.CONTINUE: _BLUE,
    Verdict.NO_GO: _VERMILION,
    Verdict.ROLLBACK: _VERMILION,
    Verdict.INCONCLUSIVE: _ORANGE,
}
_QUIET = {Status.PASS, Status.NOT_DUE, Status.NOT_APPLICABLE}
_FOLD = 12
"""More quiet findings than this are folded away."""


def emit(html: str, text: str) -> None:
    """Show in a notebook, print elsewhere; redacted both times."""
    shell = None
    try:
        from IPython import get_ipython  # noqa: PLC0415 - not there outside of a kernel

        shell = get_ipython()
    except ImportError:
        pass
    if shell is None:
        print(redact(text))
        return
    from IPython.display import display  # noqa: PLC0415

    show: Any = display
    show({"text/html": redact(html), "text/plain": redact(text)}, raw=True)


def banner(rows: Mapping[str, str], *, production: bool, apply: bool) -> None:
    """Who and where we are, and what may be changed; red where it is production."""
    colour = _VERMILION if production else _BLUE
    word = "PRODUCTION" if production else rows.get("environment", "")
    mode = "apply: changes are made" if apply else "plan only: nothing is changed"
    cells = "".join(
        f'<tr><th scope="row" style="text-align:left;padding:2px 12px 2px 0">{escape(k)}</th>'
        f'<td style="text-align:left">{escape(v)}</td></tr>'
        for k, v in rows.items()
    )
    html = (
        f'<div role="region" aria-label="Where this notebook works" style="border:3px solid {colour};padding:8px 14px">'
        f'<strong style="color:{colour};font-size:1.15em">{escape(word)} · {escape(mode)}</strong>'
        f"<table>{cells}</table></div>"
    )
    emit(html, "\n".join([f"== {word} · {mode}", *(f"   {k}: {v}" for k, v in rows.items())]))


def findings(seen: Sequence[Finding], title: str | None) -> None:
    """A table of findings, what closes the gate first; many that are in order are folded away."""
    title = title or "Findings"
    ordered = sorted(seen, key=lambda f: (not f.closes_gate, f.status in _QUIET, f.id))
    loud = [f for f in ordered if f.status not in _QUIET]
    quiet = [f for f in ordered if f.status in _QUIET]
    counts = ", ".join(f"{n} {s}" for s in Status if (n := sum(f.status is s for f in seen)))
    summary = f"{title}: {counts or 'nothing was looked at'}"
    html = ""
    if loud or len(quiet) <= _FOLD:
        html = _table(summary, ordered if len(quiet) <= _FOLD else loud)
    if len(quiet) > _FOLD:
        folded = _table(f"{title}: in order, or not due", quiet)
        html += f"<details><summary>{escape(summary)}: show the {len(quiet)} in order</summary>{folded}</details>"
    lines = [summary]
    for f in ordered if len(quiet) <= _FOLD else loud:
        lines.append(f"{'!' if f.closes_gate else ' '} {f.status:<14} {f.id:<12} {f.title} [{f.subject}]")
        if f.status not in _QUIET:
            lines += [f"      expected {f.expected}; observed {f.observed}. {f.why}".rstrip()]
            lines += [f"      do: {line}" for line in f.remedy.splitlines()]
    emit(html, "\n".join(lines))


def _table(caption: str, seen: Iterable[Finding]) -> str:
    head = "".join(f'<th scope="col" style="text-align:left">{h}</th>' for h in _HEADS)
    return (
        f'<table style="text-align:left"><caption style="text-align:left;font-weight:bold">{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(_row(f) for f in seen)}</tbody></table>"
    )


_HEADS = ("Status", "What", "Expected", "Observed")


def _row(f: Finding) -> str:
    mark = "⛔ " if f.closes_gate else ""
    word = f"{mark}{f.status}" + (f" (was {f.waived_from})" if f.waived_from else "")
    what = f"<strong>{escape(f.title)}</strong><br>{escape(f.id)} · {escape(f.severity)}"
    what += f" · {escape(f.subject)}" if f.subject else ""
    if f.status not in _QUIET and f.why:
        what += f"<br>{escape(f.why)}"
    cells = (
        f'<td style="color:{_COLOURS[f.status]};font-weight:bold;white-space:nowrap">{escape(word)}</td>'
        f'<td style="text-align:left">{what}</td>'
        f'<td style="text-align:left">{escape(f.expected)}</td><td style="text-align:left">{escape(f.observed)}</td>'
    )
    row = f'<tr style="vertical-align:top">{cells}</tr>'
    if f.remedy and (f.closes_gate or f.status in {Status.FAIL, Status.MISSING}):
        row += (
            f'<tr><td></td><td colspan="3" style="text-align:left">What to do:'
            f'<pre style="white-space:pre-wrap;margin:2px 0">{escape(f.remedy)}</pre></td></tr>'
        )
    return row


def plan(planned: Plan, state: str) -> None:
    """What an action would do: summary, the difference, the exact calls, the way back."""
    keys = list(dict.fromkeys([*planned.before, *planned.after]))
    changed = [(k, planned.before.get(k), planned.after.get(k)) for k in keys]
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left">{escape(str(k))}</th>'
        f'<td style="text-align:left">{_short(old)}</td>'
        f'<td style="text-align:left">{"=" if old == new else "<strong>" + _short(new) + "</strong>"}</td></tr>'
        for k, old, new in changed
    )
    calls = "\n".join(f"{r.get('call', '')} {r.get('arguments', '')}" for r in planned.requests)
    html = (
        f'<div style="border-left:6px solid {_BLUE if planned.empty else _ORANGE};padding:4px 12px">'
        f"<strong>{escape(planned.action)} · {escape(state)}</strong><br>{escape(planned.summary)}<br>"
        f"{escape(planned.subject)}"
        + (
            f'<table><thead><tr><th scope="col">what</th><th scope="col">now</th><th scope="col">then</th></tr></thead>'
            f"<tbody>{rows}</tbody></table>"
            if rows
            else ""
        )
        + (f"<details><summary>exact calls</summary><pre>{escape(calls)}</pre></details>" if calls else "")
        + (f"To undo it: {escape(planned.undo)}<br>" if planned.undo else "")
        + f"<small>plan {planned.hash[:12]}</small></div>"
    )
    lines = [f"-- {planned.action} · {state}: {planned.summary} [{planned.subject}]"]
    lines += [f"   {k}: {old} -> {'same' if old == new else new}" for k, old, new in changed]
    lines += [f"   {line}" for line in calls.splitlines()]
    lines += [f"   to undo it: {planned.undo}"] if planned.undo else []
    emit(html, "\n".join([*lines, f"   plan {planned.hash[:12]}"]))


def verdict(conclusion: Conclusion) -> None:
    """The verdict, with what to do next."""
    colour = _VERDICTS[conclusion.verdict]
    todo = "".join(f"<li><pre style='white-space:pre-wrap;margin:0'>{escape(n)}</pre></li>" for n in conclusion.next)
    html = (
        f'<div role="status" style="border:3px solid {colour};padding:8px 14px">'
        f'<strong style="color:{colour};font-size:1.3em">{escape(conclusion.verdict)}</strong>'
        f"<p>{escape(conclusion.headline)}</p>" + (f"What to do:<ol>{todo}</ol>" if todo else "") + "</div>"
    )
    emit(html, "\n".join([conclusion.headline, *(f"  - {n}" for n in conclusion.next)]))


def thing(value: Any, alt: str) -> None:
    """A table (anything with `to_html`) or a picture (anything with `savefig`), with a text that says what it shows."""
    if value is None:
        return
    caption = f'<figcaption style="text-align:left">{escape(alt)}</figcaption>' if alt else ""
    if hasattr(value, "savefig"):
        png = io.BytesIO()
        value.savefig(png, format="png", bbox_inches="tight")
        data = base64.b64encode(png.getvalue()).decode()
        image = f'<img alt="{escape(redact(alt), quote=True)}" src="data:image/png;base64,{data}">'
        _close(value)
        emit(f"<figure>{image}</figure>", alt)
    elif hasattr(value, "to_html"):
        emit(f"<figure>{caption}{value.to_html()}</figure>", f"{alt}\n{value}")
    else:
        emit(f"<figure>{caption}<pre>{escape(str(value))}</pre></figure>", f"{alt}\n{value}")


def _close(figure: Any) -> None:
    """The inline backend would show an open figure a second time."""
    import sys  # noqa: PLC0415

    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close(figure)


def _short(value: Any, most: int = 200) -> str:
    if isinstance(value, dict):
        value = ", ".join(f"{key}: {one}" for key, one in value.items()) or "none"
    text = "" if value is None else str(value)
    return escape(cut(text, most))
