"""The reports' objects: listed, copied and compared by content, between folders and S3."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standin import client, closed_port, emulator

from cutover.action import Action, Change
from cutover.errors import InstrumentError, UsageError
from cutover.finding import Severity, Status
from cutover.objects import CopyObjects, Entry, Inventory, compare, copy, inventory
from cutover.objects.folder import Folder

FILES = {
    "reports/a.pdf": b"%PDF-1.4 a",
    "reports/2026/ü & b+c%20.pdf": b"%PDF-1.4 b" * 1000,
    "empty.pdf": b"",
}


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
    name = f"b-{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]}"
    client("s3", s3_endpoint).create_bucket(Bucket=name)
    return name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with some reports."""
    for name, content in FILES.items():
        path = tmp_path / "reports of old" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "reports of old"


def statuses(findings: list[Any]) -> dict[str, str]:
    """Status by id."""
    return {f.id: str(f.status) for f in findings}


SOUND = {"OBJ-01": "PASS", "OBJ-02": "PASS", "OBJ-03": "PASS", "OBJ-04": "PASS", "OBJ-05": "PASS"}


def test_a_folder_goes_to_a_bucket_and_back(folder: Path, tmp_path: Path, bucket: str, aws: dict[str, Any]) -> None:
    """Every byte and every name, also the odd ones; a second copy copies nothing."""
    there, back = f"s3://{bucket}/some/prefix", (tmp_path / "back").as_uri()
    first = copy(folder.as_uri(), there, **aws)
    assert (first.copied, first.skipped, first.failed) == (3, 0, {})
    assert first.bytes == sum(map(len, FILES.values()))
    again = copy(folder.as_uri(), there, **aws)
    assert (again.copied, again.skipped) == (0, 3)
    assert copy(there, back, **aws).copied == 3
    assert {n: (tmp_path / "back" / n).read_bytes() for n in FILES} == FILES
    assert statuses(compare(inventory(folder.as_uri()), inventory(there, **aws))) == SOUND


def test_an_inventory_knows_size_and_content(folder: Path, bucket: str, aws: dict[str, Any]) -> None:
    """The same on both sides, whether S3 stored a checksum or the object must be read."""
    wanted = {name: Entry(len(c), hashlib.sha256(c).hexdigest()) for name, c in FILES.items()}
    s3 = client("s3", aws["endpoint"])
    for name, content in FILES.items():
        s3.put_object(Bucket=bucket, Key=f"plain/{name}", Body=content)
    copy(folder.as_uri(), f"s3://{bucket}/checked", **aws)
    assert inventory(folder.as_uri()).entries == wanted
    assert inventory(f"s3://{bucket}/plain/", **aws).entries == wanted
    assert inventory(f"s3://{bucket}/checked", **aws).entries == wanted
    assert inventory(folder.as_uri()).bytes == sum(map(len, FILES.values()))


def test_a_multipart_object_is_compared_by_its_content(tmp_path: Path, bucket: str, aws: dict[str, Any]) -> None:
    """Its stored checksum is one of checksums, and its ETag no MD5: neither may be believed."""
    content = os.urandom(6 * 1024 * 1024)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "big.pdf").write_bytes(content)
    s3, key = client("s3", aws["endpoint"]), {"Bucket": bucket, "Key": "big.pdf"}
    upload = s3.create_multipart_upload(**key, ChecksumAlgorithm="SHA256", ContentType="application/pdf")["UploadId"]
    parts = []
    for number, part in enumerate((content[: 5 * 1024 * 1024], content[5 * 1024 * 1024 :]), start=1):
        sent = s3.upload_part(**key, UploadId=upload, PartNumber=number, Body=part)
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    s3.complete_multipart_upload(**key, UploadId=upload, MultipartUpload={"Parts": parts})
    assert statuses(compare(inventory((tmp_path / "src").as_uri()), inventory(f"s3://{bucket}", **aws))) == SOUND


def test_only_what_differs_is_copied_again(folder: Path, bucket: str, aws: dict[str, Any]) -> None:
    """Missing, of another size, and of the same size with another content."""
    there = f"s3://{bucket}"
    copy(folder.as_uri(), there, **aws)
    s3 = client("s3", aws["endpoint"])
    s3.put_object(Bucket=bucket, Key="reports/a.pdf", Body=b"%PDF-1.4 X", ContentType="application/pdf")
    s3.delete_object(Bucket=bucket, Key="empty.pdf")
    s3.put_object(Bucket=bucket, Key="extra.pdf", Body=b"not of the source")
    before = {f.id: f for f in compare(inventory(folder.as_uri()), inventory(there, **aws))}
    assert statuses(list(before.values())) == SOUND | {"OBJ-01": "FAIL", "OBJ-02": "FAIL", "OBJ-03": "FAIL"}
    assert before["OBJ-01"].observed == "1: empty.pdf"
    assert before["OBJ-02"].observed == "1: reports/a.pdf (same size, other content)"
    assert before["OBJ-03"].observed == "1: extra.pdf"
    assert [before[f"OBJ-0{n}"].severity for n in (1, 2, 3)] == [Severity.BLOCKER, Severity.BLOCKER, Severity.MEDIUM]
    result = copy(folder.as_uri(), there, **aws)
    assert (result.copied, result.skipped) == (2, 1)
    after = compare(inventory(folder.as_uri()), inventory(there, **aws))
    assert statuses(after) == SOUND | {"OBJ-03": "FAIL"}


def test_the_action_copies_verifies_and_needs_no_second_time(folder: Path, bucket: str, aws: dict[str, Any]) -> None:
    """As a notebook uses it."""
    action = CopyObjects(folder.as_uri(), f"s3://{bucket}", **aws)
    assert isinstance(action, Action)
    plan = action.plan()
    assert not plan.empty
    change = Change(plan, action.apply(plan), "2026-11-23T12:00:00Z", 0.1)
    assert change.result["copied"] == 3
    assert statuses(action.verify(change)) == SOUND
    assert action.plan().empty
    client("s3", aws["endpoint"]).delete_object(Bucket=bucket, Key="empty.pdf")
    assert statuses(action.verify(change))["OBJ-01"] == "FAIL"


def test_folder_markers_of_a_console_are_no_reports(bucket: str, aws: dict[str, Any]) -> None:
    """An empty object whose name ends in a slash; one with content counts."""
    s3 = client("s3", aws["endpoint"])
    for key, body in [("p/", b""), ("p/sub/", b""), ("p/odd/", b"x"), ("p/a.pdf", b"a"), ("px/b.pdf", b"b")]:
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    assert sorted(inventory(f"s3://{bucket}/p", **aws).entries) == ["a.pdf", "odd/"]


def test_an_object_that_cannot_be_written_fails_alone(tmp_path: Path, folder: Path) -> None:
    """The others are copied, it is named with the reason, and the comparison misses it."""
    target = tmp_path / "target"
    target.mkdir()
    (target / "empty.pdf").mkdir()
    result = copy(folder.as_uri(), target.as_uri())
    assert (result.copied, list(result.failed)) == (2, ["empty.pdf"])
    assert not result.ok
    assert result.to_dict()["failed"]["empty.pdf"]
    assert statuses(compare(inventory(folder.as_uri()), inventory(target.as_uri())))["OBJ-01"] == "FAIL"


def test_a_name_that_climbs_out_is_refused(tmp_path: Path, bucket: str, aws: dict[str, Any]) -> None:
    """A bucket may hold any name; the folder is not left."""
    client("s3", aws["endpoint"]).put_object(Bucket=bucket, Key="../escaped.pdf", Body=b"x")
    (tmp_path / "in").mkdir()
    result = copy(f"s3://{bucket}", (tmp_path / "in").as_uri(), **aws)
    assert list(result.failed) == ["../escaped.pdf"]
    assert not (tmp_path / "escaped.pdf").exists()


@given(st.text(min_size=1).filter(lambda name: "\0" not in name and name.isprintable()))
def test_no_name_leaves_the_folder(name: str) -> None:
    """Whatever it is made of."""
    try:
        path = Folder(Path("/srv/reports"))._path(name)
    except InstrumentError:
        return
    assert os.path.normpath(path).startswith("/srv/reports")


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    """Its content is not the platform's."""
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "in" / "a.pdf").symlink_to(tmp_path / "secret")
    with pytest.raises(InstrumentError, match="leads out"):
        inventory((tmp_path / "in").as_uri())


@pytest.mark.parametrize("kind", ["folder", "bucket", "endpoint"])
def test_a_place_that_is_not_there_is_an_error_not_an_empty_one(tmp_path: Path, aws: dict[str, Any], kind: str) -> None:
    """Nothing to compare must never look like nothing missing."""
    where = {"folder": (tmp_path / "gone").as_uri()}.get(kind, "s3://no-such-bucket-here")
    if kind == "endpoint":
        aws = aws | {"endpoint": f"http://127.0.0.1:{closed_port()}"}
    with pytest.raises(InstrumentError) as caught:
        inventory(where, **aws)
    assert caught.value.todo


@pytest.mark.parametrize(
    "address", ["", "/srv/reports", "reports", "file:relative", "file://host/x", "https://b/c", "s3://"]
)
def test_an_address_of_another_kind_is_a_usage_error(address: str) -> None:
    """With what to write instead."""
    with pytest.raises(UsageError, match="no place for reports"):
        inventory(address)


def test_an_empty_source_proves_nothing() -> None:
    """Most likely it is the wrong address."""
    findings = compare(Inventory("file:///a", {}), Inventory("s3://b", {}))
    assert statuses(findings) == SOUND | {"OBJ-01": "UNKNOWN", "OBJ-02": "UNKNOWN"}


def test_what_could_not_be_read_is_not_compared() -> None:
    """Neither missing nor equal; it closes the gate under its own name."""
    one = Entry(1, "a" * 64)
    source = Inventory("file:///a", {"x": one, "y": one})
    target = Inventory("s3://b", {"x": one}, unread={"y": "AccessDenied"})
    findings = {f.id: f for f in compare(source, target)}
    assert statuses(list(findings.values())) == SOUND | {"OBJ-04": "NOT_COMPARED"}
    assert findings["OBJ-04"].closes_gate
    assert "AccessDenied" in findings["OBJ-04"].why


def test_all_are_counted_though_few_are_shown() -> None:
    """The first names, and how many more."""
    source = Inventory("file:///a", {f"{i:03}.pdf": Entry(1, "a" * 64) for i in range(50)})
    finding = compare(source, Inventory("s3://b", {}), show=2)[0]
    assert finding.status is Status.FAIL
    assert finding.observed == "50: 000.pdf, 001.pdf, and 48 more"
    assert finding.data["count"] == 50


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_rights_is_unread(folder: Path) -> None:
    """Listed, but not read."""
    (folder / "empty.pdf").chmod(0)
    assert list(inventory(folder.as_uri()).unread) == ["empty.pdf"]
