"""The PDF reports that ShadowTwin has made: which they are, and what is in them."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

from cutover.errors import StageError

COUNT = 40
"""How many reports of the data have a file (older ones have expired, newer ones wait)."""


def report_id(index: int, seed: int = 1) -> str:
    """The id of the report with this index: the same for the same seed, looks like any version 4 UUID."""
    return str(uuid.UUID(bytes=hashlib.sha256(f"{seed} report {index}".encode()).digest()[:16], version=4))


def file_of(index: int, seed: int = 1) -> str:
    """The name under which that report is stored: `reports/<id>.pdf`."""
    return f"reports/{report_id(index, seed)}.pdf"


def pdf_of(index: int, seed: int = 1) -> bytes:
    """A small, valid PDF of one page; its SHA-256 stands in the report's row."""
    lines = [f"Report {report_id(index, seed)}", f"No. {index + 1} of {COUNT}"]
    lines += [f"Week {week}: {(index * 37 + week * 11) % 97} conversations" for week in range(1, 5 + index % 30)]
    shown = "\n".join(f"BT /F1 11 Tf 72 {780 - 18 * i} Td ({line}) Tj ET" for i, line in enumerate(lines))
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R"
        b" /Resources << /Font << /F1 4 0 R >> >> >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(shown), shown.encode()),
    ]
    document = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    table = [b"0000000000 65535 f \n"]
    for number, body in enumerate(bodies, start=1):
        table.append(b"%010d 00000 n \n" % len(document))
        document += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(document)
    document += b"xref\n0 %d\n%s" % (len(table), b"".join(table))
    document += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(table), start)
    return bytes(document)


def write_reports(folder: Path, count: int = COUNT, *, seed: int = 1) -> list[Path]:
    """Write the files of the reports that are done, each as `folder/reports/<id>.pdf`, as the rows name them.

    Args:
        folder: where the application keeps its reports (REPORTS).
        count: how many, at most `COUNT`.
        seed: as for the rows.
    """
    if not 0 <= count <= COUNT:
        raise StageError(f"{count} reports are wanted; the data know of {COUNT} that are done.")
    paths = [folder / file_of(i, seed) for i in range(count)]
    (folder / "reports").mkdir(parents=True, exist_ok=True)
    for i, path in enumerate(paths):
        path.write_bytes(pdf_of(i, seed))
    return paths
