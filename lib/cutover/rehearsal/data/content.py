"""Rows of what is done with ShadowTwin: twins, conversations, messages, reports, jobs, and the log of it all."""

from __future__ import annotations

import hashlib
import json

from cutover.rehearsal.data import phrases
from cutover.rehearsal.data.dice import Dice, Lines, spread, text, user_id
from cutover.rehearsal.data.phrases import NULL
from cutover.rehearsal.data.reports import COUNT as REPORTS_DONE
from cutover.rehearsal.data.reports import file_of, pdf_of, report_id


def twins(m: Dice, start: int, end: int) -> Lines:
    """Twins; the first twelve are the visitor's."""
    n = end - start
    owners = [user_id(1) if i < 12 else u for i, u in zip(range(start, end), m.user_ids(n), strict=True)]
    created = spread(start, end, m.size["public.twins"])
    columns = zip(
        range(start + 1, end + 1),
        owners,
        m.pick(phrases.TWINS, n),
        m.pick(phrases.PERSONAS, n),
        m.pick(phrases.TRAITS, n),
        m.pick(["private", "private", "link", "public"], n),
        m.pick(["0.7", "0", "1", "0.2", "1.5", "0.33333334", "-0"], n),
        m.pick(phrases.EMBEDDINGS, n),
        text(created),
        text(created + 60_000_000),
        strict=True,
    )
    return ["\t".join(map(str, row)) for row in columns]


def conversations(m: Dice, start: int, end: int) -> Lines:
    """Conversations; the first forty are the visitor's."""
    n = end - start
    twins = m.few(1, m.size["public.twins"] + 1, n)
    total, messages = m.size["public.conversations"], m.size["public.messages"]
    lines = []
    columns = zip(
        range(start, end),
        twins,
        m.user_ids(n),
        m.sometimes(phrases.TITLES, NULL, n, share=0.9),
        m.pick(["open"] * 7 + ["archived"] * 3 + ["flagged"], n),
        m.sometimes(phrases.LABELS, NULL, n, share=0.5),
        text(spread(start, end, total)),
        strict=True,
    )
    for i, twin, user, title, status, labels, at in columns:
        count = messages // total + (i < messages % total)
        between = f"{1 + i % 12}\t{user_id(1)}" if i < 40 else f"{twin}\t{user}"
        lines.append(f"{i + 1}\t{between}\t{title}\t{status}\t{count}\t{labels}\t{at}")
    return lines


def messages(m: Dice, start: int, end: int) -> Lines:
    """Messages, dealt out to the conversations in turn."""
    n = end - start
    total, conversations = m.size["public.messages"], m.size["public.conversations"]
    columns = zip(
        range(start, end),
        m.every(37, phrases.ODD, m.pick(phrases.SENTENCES, n), start),
        m.pick(phrases.SENTENCES, n),
        m.whole(0, 900, n),
        m.whole(0, 90_000_000, n),
        m.sometimes(phrases.METADATA, NULL, n, share=0.3),
        text(spread(start, end, total)),
        strict=True,
    )
    authors = ("user", "twin")
    return [
        f"{i + 1}\t{1 + i % conversations}\t{'system' if i < conversations else authors[i // conversations % 2]}\t"
        f"{one if t % 5 == 0 else f'{one} {two}'}\t{t}\t0.{cost:09d}\t{meta}\t{at}"
        for i, one, two, t, cost, meta, at in columns
    ]


def attachments(m: Dice, start: int, end: int) -> Lines:
    """Files sent along, from nothing to 30 kB."""
    n, messages = end - start, m.size["public.messages"]
    lines = []
    for i, uuid in enumerate(m.uuids(n), start=start):
        # From nothing to some 30 kB: the large ones leave the row (TOAST), the zeros among them compress.
        length = (0, 1, 700, 9_000, 30_000)[i % 5]
        content = m.numbers.bytes(length) if i % 2 else bytes(length)
        lines.append(
            f"{uuid}\t{1 + i * 17 % messages}\t{phrases.FILES[i % len(phrases.FILES)]}\t"
            f"application/octet-stream\t\\\\x{content.hex()}"
        )
    return lines


def reports(m: Dice, start: int, end: int) -> Lines:
    """PDF reports."""
    n = end - start
    lines = []
    created = spread(start, end, m.size["public.reports"])
    for i, at, then, twin in zip(
        range(start, end),
        text(created),
        text(created + 41_500_000),
        m.few(1, m.size["public.twins"] + 1, n),
        strict=True,
    ):
        status, file, pages, digest, error, ended = _report_state(i, m.seed)
        owner, of = (user_id(1), 1 + i % 12) if i < REPORTS_DONE + 20 else (user_id(i % 20), twin)
        parameters = json.dumps({"format": "pdf", "range": {"from": at[:10], "to": None}, "charts": i % 3 == 0})
        lines.append(
            f"{report_id(i, m.seed)}\t{of}\t{owner}\t{status}\t{file}\t{pages}\t{digest}\t{error}\t{parameters}\t{at}\t"
            f"{then if ended else NULL}"
        )
    return lines


def _report_state(i: int, seed: int) -> tuple[str, str, str, str, str, bool]:
    """Status, file, pages, digest, error and whether it has ended: first those with a file, then those in the queue."""
    if i < REPORTS_DONE:
        return "done", file_of(i, seed), "1", "\\\\x" + hashlib.sha256(pdf_of(i, seed)).hexdigest(), NULL, True
    if i < REPORTS_DONE + 15:
        return "queued", NULL, NULL, NULL, NULL, False
    if i < REPORTS_DONE + 18:
        return "running", NULL, NULL, NULL, NULL, False
    if i % 3:
        return "expired", NULL, "1", NULL, NULL, True
    return "failed", NULL, NULL, NULL, phrases.ERRORS[i % len(phrases.ERRORS)], True


def jobs(m: Dice, start: int, end: int) -> Lines:
    """What the queue's jobs left in the database."""
    n = end - start
    at = spread(start, end, m.size["public.jobs"])
    columns = zip(
        range(start + 1, end + 1),
        m.pick(["reports", "emails"], n),
        m.pick(["completed"] * 15 + ["failed", "waiting", "active"], n),
        m.whole(1, m.size["public.twins"] + 1, n),
        m.whole(0, 4, n),
        text(at),
        text(at + 2_000_000),
        m.pick(phrases.ERRORS, n),
        strict=True,
    )
    # `payload` is json, not jsonb: its spacing, the order of its keys and repeated keys are kept as written.
    payloads = ('{"twin_id": %d}', '{ "twin_id":%d , "a":1, "a":2}', '{"to":"ÿ","twin":%d}')
    names = {"reports": "generate-report", "emails": "send-email"}
    return [
        f"{i}\t{queue}\t{names[queue]}\t{payloads[i % 3] % twin}\t{state}\t{attempts}\t{run}\t"
        f"{done if state in ('completed', 'failed') else NULL}\t{error if state == 'failed' else NULL}"
        for i, queue, state, twin, attempts, run, done, error in columns
    ]


def twin_metrics(m: Dice, start: int, end: int) -> Lines:
    """Measurements, with numbers that are none."""
    n, twins = end - start, m.size["public.twins"]
    at = spread(start, end, m.size["public.twin_metrics"])
    columns = zip(
        range(start, end),
        text(at),
        m.every(12, phrases.FLOATS, [repr(v) for v in m.numbers.normal(0, 1e6, n).tolist()], start),
        m.pick(phrases.REALS, n),
        m.sometimes(phrases.NUMERICS, NULL, n, share=0.8),
        m.sometimes(phrases.DAYS, NULL, n, share=0.5),
        m.sometimes(phrases.INTERVALS, NULL, n, share=0.6),
        m.sometimes(phrases.SAMPLES, NULL, n, share=0.5),
        strict=True,
    )
    names = ("latency", "sentiment", "tokens/s", "größe", "")
    return [f"{1 + i * 31 % twins}\t{names[i % 5]}\t{when}\t" + "\t".join(rest) for i, when, *rest in columns]


def page_views(m: Dice, start: int, end: int) -> Lines:
    """Page views, some reported twice."""
    n = end - start
    columns = zip(
        text(m.instants(n)),
        m.pick(phrases.PATHS, n),
        m.user_ids(n),
        m.whole(0, 3, n),
        m.sometimes(phrases.REFERRERS, NULL, n, share=0.4),
        m.whole(0, 60_000, n),
        m.sometimes(phrases.ADDRESSES_IP, NULL, n, share=0.8),
        strict=True,
    )
    lines = [
        f"{at}\t{path}\t{user if known else NULL}\t{referrer}\t{took}\t{ip}"
        for at, path, user, known, referrer, took, ip in columns
    ]
    # One in a hundred was reported twice, and some three times, exactly.
    for i in range(1, n, 100):
        lines[i] = lines[i - 1]
        if i % 400 == 1 and i + 1 < n:
            lines[i + 1] = lines[i - 1]
    return lines


def log(m: Dice, start: int, end: int) -> Lines:
    """The audit log."""
    n, total = end - start, m.size["audit.log"]
    at = spread(start, end, total)
    at[:: max(n // 40, 1)] -= 60_000_000 * 60 * 24 * 365  # what was imported from before the first partition
    columns = zip(
        range(start + 1, end + 1),
        text(at),
        m.user_ids(n),
        m.whole(0, 10, n),
        m.pick(phrases.ACTIONS, n),
        m.whole(1, 5000, n),
        m.sometimes(phrases.CHANGES, NULL, n, share=0.6),
        m.sometimes(phrases.ADDRESSES_IP, NULL, n, share=0.7),
        strict=True,
    )
    return [
        f"{i}\t{when}\t{actor if known else NULL}\t{action}\ttwin:{subject}\t{change}\t{ip}"
        for i, when, actor, known, action, subject, change, ip in columns
    ]


def legacy(m: Dice, start: int, end: int) -> Lines:
    """A table from before the naming rules."""
    n = end - start
    columns = zip(range(start, end), m.pick(phrases.SENTENCES, n), m.hexes(5, n), text(m.instants(n)), strict=True)
    return [
        f"{i // 3 - 50}\t{i % 3}\t{words if i % 4 else NULL}\t{raw if i % 7 else ''}\t{at}"
        for i, words, raw, at in columns
    ]
