"""The journal in S3: one object a line, numbered; a number is taken with a conditional write, so no line is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from cutover import aws_session
from cutover.errors import AwsError

_ATTEMPTS = 50


class S3Store:
    """Lines as objects `prefix/00000001.json`, `…2.json`; the bucket should be versioned and locked.

    Args:
        location: `s3://bucket/prefix`.
        client: a boto3 S3 client; one from the surroundings' credentials by default.
    """

    def __init__(self, location: str, client: Any = None) -> None:
        parts = urlsplit(location)
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")
        self._client = client or aws_session.client("s3")
        self._known: dict[int, str] = {}

    def append(self, line: str) -> None:
        """Add a line under the next free number (`If-None-Match: *`: whoever comes second takes the one after).

        Raises:
            AwsError: it could not be written.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        number = max(self._numbers(), default=0)
        for _ in range(_ATTEMPTS):
            number += 1
            try:
                self._client.put_object(Bucket=self._bucket, Key=self._key(number), Body=line.encode(), IfNoneMatch="*")
            except ClientError as error:
                if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
                    continue
                raise self._failed(error) from error
            except BotoCoreError as error:
                raise self._failed(error) from error
            self._known[number] = line
            return
        raise self._failed(f"{_ATTEMPTS} writers took the number first")

    def read(self) -> Iterator[str]:
        """Every line, oldest first; what was read once is not fetched again.

        Raises:
            AwsError: the bucket could not be read.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            for number in sorted(self._numbers()):
                if number not in self._known:
                    found = self._client.get_object(Bucket=self._bucket, Key=self._key(number))
                    self._known[number] = found["Body"].read().decode(errors="replace")
                yield self._known[number]
        except (ClientError, BotoCoreError) as error:
            raise self._failed(error) from error

    def _numbers(self) -> list[int]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        numbers = []
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{self._prefix}/"
            )
            for page in pages:
                names = (item["Key"].rsplit("/", 1)[1].removesuffix(".json") for item in page.get("Contents", []))
                numbers += [int(name) for name in names if name.isdigit()]
        except (ClientError, BotoCoreError) as error:
            raise self._failed(error) from error
        return numbers

    def _key(self, number: int) -> str:
        return f"{self._prefix}/{number:08}.json"

    def _failed(self, error: object) -> AwsError:
        return AwsError(
            f"The journal s3://{self._bucket}/{self._prefix} cannot be used: {error}.",
            why="approvals and what later steps need are kept there.",
            todo=f"check the bucket and the rights s3:ListBucket, s3:GetObject, s3:PutObject: aws s3 ls s3://{self._bucket}",
        )
