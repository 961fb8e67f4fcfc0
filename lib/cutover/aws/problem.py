"""What kind of trouble an AWS error is: the thing is not there, or it could not be looked at, and why."""

from __future__ import annotations

import re
from enum import StrEnum

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    TokenRetrievalError,
    UnknownServiceError,
)
from botocore.parsers import ResponseParserError


class Problem(StrEnum):
    """Why a call has no answer. Only NOT_FOUND says something about the account; the others say "could not look"."""

    NOT_FOUND = "not found"
    DENIED = "denied"
    THROTTLED = "throttled"
    NOT_IMPLEMENTED = "not implemented"
    NETWORK = "network"
    REFUSED = "refused"
    BROKEN = "broken answer"


class BrokenAnswer(BotoCoreError):
    """An answer with a good status that is torn, empty, or lacks what its operation always answers with.

    Attributes:
        response: the request id, where botocore's own errors have it.
    """

    fmt = "{error}"

    def __init__(self, why: str, request_id: str = "") -> None:
        super().__init__(error=why)
        self.response = {"ResponseMetadata": {"RequestId": request_id}}


_NOT_FOUND = re.compile(r"NotFound|^NoSuch|^404$|NonExistent|DoesNotExist")
_DENIED = re.compile(
    r"AccessDenied|Unauthorized|AuthorizationError|^AuthFailure$|^40[13]$|Forbidden|ExpiredToken|InvalidClientTokenId"
    r"|UnrecognizedClient|SignatureDoesNotMatch|OptInRequired|SubscriptionRequired|NotAuthorized"
)
_THROTTLED = re.compile(
    r"Throttl|TooManyRequests|RequestLimitExceeded|LimitExceededException|SlowDown|BandwidthLimit|PriorRequestNotComplete"
    r"|ProvisionedThroughputExceeded|^429$"
)
_NOT_IMPLEMENTED = re.compile(
    r"^50[0-4]$|NotImplemented|InternalFailure|InternalError|InternalServer|UnknownOperation|^InvalidAction$"
    r"|ServiceUnavailable"
)


def problem_of(code: str, message: str = "") -> Problem:
    """The kind of an error code; what no rule knows is REFUSED, which is UNKNOWN as well, never a verdict.

    ECS answers `ClientException: Unable to describe task definition.` for one that is not there.
    """
    if _NOT_FOUND.search(code) or (code == "ClientException" and "Unable to describe task definition" in message):
        return Problem.NOT_FOUND
    for pattern, kind in (
        (_DENIED, Problem.DENIED),
        (_THROTTLED, Problem.THROTTLED),
        (_NOT_IMPLEMENTED, Problem.NOT_IMPLEMENTED),
    ):
        if pattern.search(code):
            return kind
    return Problem.REFUSED


def describe_error(error: Exception) -> tuple[Problem, str, str]:
    """Kind, code and message of anything that a boto3 call raises.

    A web page instead of an answer (an emulator's HTML 500) cannot be parsed: that is NOT_IMPLEMENTED, not a verdict.
    """
    if isinstance(error, ClientError):
        fields = error.response.get("Error", {})
        code, message = str(fields.get("Code", "Unknown")), str(fields.get("Message", ""))
        return problem_of(code, message), code, message
    name = type(error).__name__
    if isinstance(error, BrokenAnswer):
        return Problem.BROKEN, name, str(error)
    if isinstance(error, FileNotFoundError | PermissionError):
        return Problem.NOT_FOUND if isinstance(error, FileNotFoundError) else Problem.DENIED, name, str(error)
    if isinstance(error, ResponseParserError | UnknownServiceError):
        return Problem.NOT_IMPLEMENTED, name, "the answer is not one that AWS gives"
    if isinstance(error, NoCredentialsError | PartialCredentialsError | TokenRetrievalError):
        return Problem.DENIED, name, str(error)
    if isinstance(error, ConnectionError | HTTPClientError):
        return Problem.NETWORK, name, str(error)
    if isinstance(error, BotoCoreError):
        return Problem.REFUSED, name, str(error)
    return Problem.REFUSED, name, str(error) or repr(error)
