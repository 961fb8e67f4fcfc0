"""Objects in S3 under a prefix: multipart both ways, every part with a SHA-256 that S3 checks."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from cutover import aws_session
from cutover.objects.location import PIECE, Listed, Reader, Summary, fill

PART = 8 * 1024 * 1024
"""Bytes of a part of a multipart upload, and the largest object that goes as one."""
_MOST_PARTS = 9_000  # S3 takes 10,000
_LONGEST_KEY = 1_024  # bytes of UTF-8
_ATTEMPTS = 5
_HEADERS = ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage")
_META = "x-amz-meta-"


class Bucket:
    """A bucket, or what lies below a prefix of it."""

    def __init__(self, bucket: str, prefix: str, *, endpoint: str | None, region: str | None) -> None:
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self._endpoint, self._region = endpoint, region
        self.address = f"s3://{bucket}" + (f"/{prefix}" if prefix else "")
        self._client: Any = None
        self._lock = threading.Lock()

    def list(self) -> Iterator[Listed]:
        """Every object but the empty ones whose name ends in `/`, which consoles make for folders."""
        pages = self._s3().get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        for page in pages:
            for raw in page.get("Contents", ()):
                name = raw["Key"][len(self._prefix) :]
                if name and not (name.endswith("/") and raw["Size"] == 0):
                    yield Listed(name, int(raw["Size"]))

    def summary(self, name: str) -> Summary:
        """From the SHA-256 that S3 verified when the object came as one part, else by reading it."""
        head = self._s3().head_object(**self._key(name), ChecksumMode="ENABLED")
        stored = head.get("ChecksumSHA256")
        # A multipart upload's checksum is one of checksums, not of the content; its ETag tells it apart (`…-3`).
        whole = head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT" and "-" not in head["ETag"]
        if stored and whole and "-" not in stored:
            return Summary(int(head["ContentLength"]), base64.b64decode(stored).hex(), _about(head))
        digest, size = hashlib.sha256(), 0
        with self.open(name) as reader:
            while piece := reader.read(PIECE):
                digest.update(piece)
                size += len(piece)
        return Summary(size, digest.hexdigest(), _about(head))

    @contextmanager
    def open(self, name: str) -> Iterator[Reader]:
        """The object as it is now: S3 gives one version of it from beginning to end."""
        answer = self._s3().get_object(**self._key(name))
        with closing(answer["Body"]) as body:
            yield _BodyReader(body, int(answer["ContentLength"]), _about(answer))

    def write(self, name: str, content: Reader) -> None:
        """Upload in parts, each with its SHA-256, which S3 checks before it accepts it; broken off, nothing is left."""
        from boto3.s3.transfer import TransferConfig  # noqa: PLC0415 - slow to import, and a folder needs none

        if len((self._prefix + name).encode()) > _LONGEST_KEY:
            raise OSError(f"its name is longer than {_LONGEST_KEY} bytes, and S3 takes no longer one")
        settings = TransferConfig(
            multipart_threshold=PART,
            multipart_chunksize=max(PART, -(-content.size // _MOST_PARTS)),
            use_threads=False,  # one part at a time in memory; other objects go at the same time
        )
        extra: dict[str, Any] = {k: v for k, v in content.about.items() if not k.startswith(_META)}
        metadata = {k.removeprefix(_META): v for k, v in content.about.items() if k.startswith(_META)}
        extra |= {"ChecksumAlgorithm": "SHA256"} | ({"Metadata": metadata} if metadata else {})
        self._s3().upload_fileobj(content, self._bucket, self._prefix + name, ExtraArgs=extra, Config=settings)

    def tidy(self, names: Iterable[str]) -> int:
        """Abort the multipart uploads of these names that were never completed: they are invisible, and paid for."""
        from botocore.exceptions import ClientError  # noqa: PLC0415

        wanted, aborted = {self._prefix + name for name in names}, 0
        client = self._s3()
        try:
            pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=self._prefix)
            for upload in [upload for page in pages for upload in page.get("Uploads", ())]:
                if upload["Key"] in wanted:
                    client.abort_multipart_upload(Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"])
                    aborted += 1
        except ClientError:
            return aborted  # without the right to look: nothing that is read or written depends on it
        return aborted

    def _key(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + name}

    def _s3(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = aws_session.client(
                    "s3", region=self._region, endpoint=self._endpoint, attempts=_ATTEMPTS, connections=16
                )
            return self._client


class _BodyReader:
    """Reads an answer's body to its announced end."""

    def __init__(self, body: Any, size: int, about: Mapping[str, str]) -> None:
        self._body, self.size, self.about, self._left = body, size, about, size

    def read(self, amount: int = -1) -> bytes:
        """The next bytes.

        Raises:
            OSError: the answer broke off.
        """
        content = fill(self._body.read, amount)
        self._left -= len(content)
        if (amount < 0 or len(content) < amount) and self._left:
            raise OSError(f"the answer broke off {self._left} bytes before its end")
        return content


def _about(answer: Mapping[str, Any]) -> dict[str, str]:
    """What the answer says of the object."""
    said = {name: str(answer[name]) for name in _HEADERS if answer.get(name)}
    return said | {f"{_META}{name}": str(value) for name, value in (answer.get("Metadata") or {}).items()}
