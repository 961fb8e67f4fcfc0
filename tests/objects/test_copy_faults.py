"""What goes wrong while reports are copied: odd names, files that move, faults on the line. Named, never a PASS."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from standin import client, emulator

from cutover.action import Change
from cutover.finding import Status
from cutover.objects import CopyObjects, compare, copy, inventory
from cutover.objects import bucket as in_s3
from cutover.objects.bucket import PART, Bucket
from cutover.objects.copy import _Watched
from cutover.objects.folder import Folder
from cutover.progress import Progress

ODD = (
    "with space & plus+percent%20.pdf",
    "ünïcødé/日本語/🚀.pdf",
    ".hidden/.dot.pdf",
    "..pdf",
    "-rf.pdf",
    "tab\tand semi;colon.pdf",
    "quote\"and'quote.pdf",
    "back\\slash.pdf",
    "a" * 250 + ".pdf",
    "/".join(["deep" * 10] * 20) + "/x.pdf",
    "no-extension",
    "UPPER.PDF",
    "upper.pdf",
)


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """The emulator."""
    with emulator() as endpoint:
        yield endpoint


@pytest.fixture
def aws(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Arguments that lead to the emulator."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "rehearsal")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "rehearsal")
    return {"endpoint": s3_endpoint, "region": "us-east-1"}


@pytest.fixture
def bucket(s3_endpoint: str, request: pytest.FixtureRequest) -> str:
    """A new bucket."""
    name = f"f-{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]}"
    client("s3", s3_endpoint).create_bucket(Bucket=name)
    return name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder of reports."""
    made = tmp_path / "reports"
    made.mkdir()
    return made


def put(folder: Path, name: str, content: bytes = b"%PDF-1.4") -> Path:
    """Write one file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def judged(source: str, target: str, aws: dict[str, Any]) -> dict[str, str]:
    """Status by id of the comparison of both sides."""
    return {f.id: str(f.status) for f in compare(inventory(source, **aws), inventory(target, **aws))}


SOUND = {f"OBJ-0{n}": "PASS" for n in range(1, 6)}


def test_odd_names_arrive_letter_by_letter(folder: Path, tmp_path: Path, bucket: str, aws: dict[str, Any]) -> None:
    """Spaces, scripts, leading dots, the longest names that a file system takes; and back again."""
    for number, name in enumerate(ODD):
        put(folder, name, str(number).encode())
    there, back = f"s3://{bucket}/old reports", (tmp_path / "back").as_uri()
    assert copy(folder.as_uri(), there, **aws).copied == len(ODD)
    assert copy(there, back, **aws).copied == len(ODD)
    assert {n: (tmp_path / "back" / n).read_bytes() for n in ODD} == {n: str(i).encode() for i, n in enumerate(ODD)}
    assert judged(folder.as_uri(), there, aws) == SOUND


def test_a_name_that_s3_does_not_take_is_named(folder: Path, bucket: str, aws: dict[str, Any]) -> None:
    """Bytes that are no UTF-8, and more than 1,024 of them: the others arrive, these are missing."""
    put(folder, "good.pdf")
    put(folder, "/".join(["x" * 200] * 6))
    with open(os.path.join(os.fsencode(folder), b"caf\xe9.pdf"), "wb") as file:
        file.write(b"x")
    result = copy(folder.as_uri(), f"s3://{bucket}", **aws)
    assert result.copied == 1
    assert sorted(result.failed)[0] == "caf\\xe9.pdf"
    assert "UTF-8" in result.failed["caf\\xe9.pdf"]
    findings = compare(inventory(folder.as_uri()), inventory(f"s3://{bucket}", **aws))
    assert findings[0].status is Status.FAIL
    assert "caf\\xe9.pdf" in findings[0].observed
    assert inventory(folder.as_uri()).to_dict()["objects"]["good.pdf"]["bytes"] == 8


@pytest.mark.parametrize("size", [0, PART - 1, PART, PART + 1])
def test_every_size_arrives_in_parts_or_whole(folder: Path, bucket: str, aws: dict[str, Any], size: int) -> None:
    """Around the border between one part and several; a second time nothing is sent."""
    put(folder, "r.pdf", os.urandom(size))
    there = f"s3://{bucket}"
    result = copy(folder.as_uri(), there, **aws)
    assert (result.copied, result.bytes, result.failed) == (1, size, {})
    head = client("s3", aws["endpoint"]).head_object(Bucket=bucket, Key="r.pdf")
    assert ("-" in head["ETag"]) is (size >= PART)
    assert head["ContentType"] == "application/pdf"
    assert copy(folder.as_uri(), there, **aws).skipped == 1
    assert judged(folder.as_uri(), there, aws) == SOUND


def test_headers_and_metadata_go_along(bucket: str, aws: dict[str, Any]) -> None:
    """From bucket to bucket: type, cache, disposition, the owner's own; one that was lost is shown and copied again."""
    s3 = client("s3", aws["endpoint"])
    said = {"ContentType": "application/pdf", "CacheControl": "private", "ContentDisposition": "inline"}
    s3.put_object(Bucket=bucket, Key="a/r.pdf", Body=b"x", Metadata={"customer": "42"}, **said)
    here, there = f"s3://{bucket}/a", f"s3://{bucket}/b"
    assert copy(here, there, **aws).copied == 1
    head = s3.head_object(Bucket=bucket, Key="b/r.pdf")
    assert {k: head[k] for k in said} == said
    assert head["Metadata"] == {"customer": "42"}
    s3.put_object(Bucket=bucket, Key="b/r.pdf", Body=b"x")
    (finding,) = [f for f in compare(inventory(here, **aws), inventory(there, **aws)) if f.id == "OBJ-05"]
    assert finding.status is Status.FAIL
    assert "x-amz-meta-customer 42 → none" in finding.observed
    action = CopyObjects(here, there, **aws)
    plan = action.plan()
    assert not plan.empty
    assert [str(f.status) for f in action.verify(Change(plan, action.apply(plan), "", 0.0))] == ["PASS"] * 5


def append(path: Path) -> None:
    """Somebody writes on."""
    with path.open("ab") as file:
        file.write(b"more")


def rewrite(path: Path) -> None:
    """Somebody writes over it, the same number of bytes."""
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(1, 1))


def replace(path: Path) -> None:
    """As applications do: another file takes the name at once."""
    new = path.with_name("new")
    new.write_bytes(path.read_bytes())
    new.replace(path)


@pytest.mark.parametrize(
    ("meddle", "said"),
    [
        (append, "it changed while it was read"),
        (rewrite, "it changed while it was read"),
        (replace, "it changed while it was read"),
        (Path.unlink, "it has vanished"),
    ],
)
@pytest.mark.parametrize("size", [100, PART + 100])
def test_a_file_that_changes_while_it_is_copied_does_not_arrive(
    folder: Path,
    bucket: str,
    aws: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    meddle: Callable[[Path], None],
    said: str,
    size: int,
) -> None:
    """Neither its old nor its mixed content: nothing, named with the reason, and no half upload is left."""
    path, write = put(folder, "r.pdf", os.urandom(size)), Bucket.write

    def while_it_is_read(self: Bucket, name: str, content: Any) -> None:
        meddle(path)
        write(self, name, content)

    monkeypatch.setattr(Bucket, "write", while_it_is_read)
    result = copy(folder.as_uri(), f"s3://{bucket}", **aws)
    assert result.failed == {"r.pdf": result.failed["r.pdf"]}
    assert said in result.failed["r.pdf"]
    s3 = client("s3", aws["endpoint"])
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_a_file_that_vanished_after_it_was_listed_is_not_compared(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It closes the gate under its own name."""
    for name in ("a.pdf", "b.pdf"):
        put(folder, name)
        put(tmp_path / "there", name)
    listed = list(Folder(folder).list())
    (folder / "b.pdf").unlink()
    monkeypatch.setattr(Folder, "list", lambda _: iter(listed))
    here = inventory(folder.as_uri())
    assert here.unread == {"b.pdf": "it has vanished"}
    monkeypatch.undo()
    findings = {f.id: f for f in compare(here, inventory((tmp_path / "there").as_uri()))}
    assert findings["OBJ-04"].status is Status.NOT_COMPARED
    assert findings["OBJ-04"].closes_gate


@pytest.mark.parametrize("kind", ["pipe", "link to nowhere", "link to a folder"])
def test_what_is_no_file_is_named(folder: Path, tmp_path: Path, kind: str) -> None:
    """A pipe would be waited for, a linked folder left out in silence."""
    put(folder, "inside/a.pdf")
    odd = folder / "odd.pdf"
    match kind:
        case "pipe":
            os.mkfifo(odd)
        case "link to nowhere":
            odd.symlink_to("gone.pdf")
        case _:
            odd.symlink_to("inside")
    result = copy(folder.as_uri(), (tmp_path / "there").as_uri())
    assert (result.copied, list(result.failed)) == (1, ["odd.pdf"])
    assert list(inventory(folder.as_uri()).unread) == ["odd.pdf"]


def test_an_object_that_may_not_be_read_fails_alone(
    folder: Path, bucket: str, aws: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No right to one file: it is named on both ways through, the others arrive."""
    for name in ("a.pdf", "b.pdf", "c.pdf"):
        put(folder, name)
    real = os.open

    def locked(path: Any, *rest: Any, **more: Any) -> int:
        if str(path).endswith("b.pdf"):
            raise PermissionError(13, "Permission denied")
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", locked)  # the tests may run as root, who may read everything
    result = copy(folder.as_uri(), f"s3://{bucket}", **aws)
    assert (result.copied, result.failed) == (2, {"b.pdf": "no right to read or write it"})
    assert judged(folder.as_uri(), f"s3://{bucket}", aws)["OBJ-04"] == "NOT_COMPARED"


@contextlib.contextmanager
def line(endpoint: str, *, cut_after: int) -> Iterator[tuple[str, dict[str, bool]]]:
    """A line to the emulator that is cut once so many bytes have gone up on a connection, as long as it is broken."""
    state, listener = {"broken": True}, socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    to, stop = urlsplit(endpoint), threading.Event()

    def pump(one: socket.socket, other: socket.socket, limit: int | None) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                passed += len(data)
                if limit is not None and passed > limit and state["broken"]:
                    break
                other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        while not stop.is_set():
            try:
                here, _ = listener.accept()
            except TimeoutError:
                continue
            there = socket.create_connection((to.hostname or "", to.port or 0))
            threading.Thread(target=pump, args=(here, there, cut_after), daemon=True).start()
            threading.Thread(target=pump, args=(there, here, None), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", state
    finally:
        stop.set()
        thread.join(5)
        listener.close()


def test_a_line_that_is_cut_in_the_middle_is_named_and_the_rest_resumed(
    folder: Path, bucket: str, aws: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The large file breaks off in its first part; once the line holds, only that one is sent."""
    monkeypatch.setattr(in_s3, "_ATTEMPTS", 1)
    put(folder, "small.pdf", b"x" * 1000)
    put(folder, "large.pdf", os.urandom(PART + PART // 2))
    with line(aws["endpoint"], cut_after=PART // 2) as (broken, state):
        through = aws | {"endpoint": broken}
        result = copy(folder.as_uri(), f"s3://{bucket}", **through)
        assert (result.copied, list(result.failed)) == (1, ["large.pdf"])
        assert judged(folder.as_uri(), f"s3://{bucket}", aws)["OBJ-01"] == "FAIL"
        state["broken"] = False
        again = copy(folder.as_uri(), f"s3://{bucket}", **through)
    assert (again.copied, again.skipped, again.failed) == (1, 1, {})
    assert judged(folder.as_uri(), f"s3://{bucket}", aws) == SOUND


def test_a_line_that_is_cut_once_is_tried_again(folder: Path, bucket: str, aws: dict[str, Any]) -> None:
    """The second part's connection breaks after the first part went through it: another one takes its place."""
    put(folder, "large.pdf", os.urandom(PART + PART // 2))
    with line(aws["endpoint"], cut_after=PART + PART // 4) as (broken, _):
        assert copy(folder.as_uri(), f"s3://{bucket}", **(aws | {"endpoint": broken})).copied == 1
    assert judged(folder.as_uri(), f"s3://{bucket}", aws) == SOUND


def test_half_uploads_of_a_copy_that_was_killed_are_cleared_away(
    folder: Path, bucket: str, aws: dict[str, Any]
) -> None:
    """Those of the names that are copied, and only those; a folder's half files too."""
    put(folder, "r.pdf")
    s3 = client("s3", aws["endpoint"])
    for key in ("r.pdf", "somebody-elses.pdf"):
        s3.create_multipart_upload(Bucket=bucket, Key=key)
    assert copy(folder.as_uri(), f"s3://{bucket}", **aws).unfinished == 1
    assert [u["Key"] for u in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["somebody-elses.pdf"]
    there = folder.parent / "there"
    put(there, ".cutover-unfinished-abc")
    assert copy(folder.as_uri(), there.as_uri()).unfinished == 1
    assert [p.name for p in there.iterdir()] == ["r.pdf"]


def test_bytes_that_changed_on_their_way_are_found(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The target is read again: what it holds is what was sent, or it failed."""
    put(folder, "r.pdf", b"x" * 100)
    write = Folder.write

    def bent(self: Folder, name: str, content: Any) -> None:
        write(self, name, content)
        (tmp_path / "there" / name).write_bytes(b"y" * 100)

    monkeypatch.setattr(Folder, "write", bent)
    result = copy(folder.as_uri(), (tmp_path / "there").as_uri())
    assert result.failed == {"r.pdf": "what lies at the target is not what was sent"}


def test_an_interrupted_copy_leaves_no_half_object(folder: Path, tmp_path: Path) -> None:
    """Ctrl-C: what is under way breaks off, nothing unfinished stays, the next run goes on."""
    for number in range(40):
        put(folder, f"{number:02}.pdf")

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    there = tmp_path / "there"
    with pytest.raises(KeyboardInterrupt):
        copy(folder.as_uri(), there.as_uri(), workers=2, progress=interrupt)
    assert not list(there.glob(".cutover*"))
    again = copy(folder.as_uri(), there.as_uri())
    assert again.failed == {}
    assert again.skipped >= 1
    assert judged(folder.as_uri(), there.as_uri(), {}) == SOUND


def test_progress_counts_objects_and_bytes(folder: Path, tmp_path: Path) -> None:
    """To their end, also what is skipped."""
    for number in range(3):
        put(folder, f"{number}.pdf", b"x" * 10 * (number + 1))
    told: list[Progress] = []
    copy(folder.as_uri(), (tmp_path / "there").as_uri(), progress=told.append)
    assert [(p.done, p.total, p.bytes, p.bytes_total) for p in told] == [(1, 3, 10, 60), (2, 3, 30, 60), (3, 3, 60, 60)]


def test_no_more_is_held_in_memory_than_a_few_parts(
    folder: Path, bucket: str, aws: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No read asks for more than one part, however large the object is."""
    put(folder, "large.pdf", os.urandom(2 * PART + 1))
    asked: list[int] = []
    read = _Watched.read

    def noted(self: Any, amount: int = -1) -> bytes:
        asked.append(amount)
        return bytes(read(self, amount))

    monkeypatch.setattr(_Watched, "read", noted)
    assert copy(folder.as_uri(), f"s3://{bucket}", **aws).copied == 1
    assert asked
    assert all(0 < amount <= PART for amount in asked)
