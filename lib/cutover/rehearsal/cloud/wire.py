"""Which service and operation an HTTP request means, and what an AWS error looks like in that service's protocol."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from moto.core.request import Request
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model

Environ = dict[str, Any]

_MODEL_OF_SIGNING_NAME = {
    "monitoring": "cloudwatch",
    "elasticloadbalancing": "elbv2",
    "email": "ses",
    "execute-api": "apigatewaymanagementapi",
    "tagging": "resourcegroupstaggingapi",
}
_LARGEST_FORM = 1 << 20


@dataclass(frozen=True, slots=True)
class Call:
    """What a request asks for.

    Attributes:
        service: botocore's service name (`ecs`, `cloudwatch`), empty when the request is not signed.
        operation: the API's name for it (`DescribeServices`), empty when it cannot be told.
        region: the region in the signature's scope.
        access_key: the access key id of the signature.
    """

    service: str
    operation: str
    region: str
    access_key: str


def read_call(environ: Environ) -> Call:
    """Read service, operation, region and caller off a request; the body stays readable."""
    service, region, access_key = _scope(environ.get("HTTP_AUTHORIZATION", ""))
    service = _MODEL_OF_SIGNING_NAME.get(service, service)
    operation = _target(environ) or _form_action(environ) or (_route(service, environ) if service else "")
    return Call(service, operation, region, access_key)


def _scope(authorization: str) -> tuple[str, str, str]:
    """`AWS4-HMAC-SHA256 Credential=KEY/20261123/us-east-1/ecs/aws4_request, …` → service, region, key."""
    try:
        key, _, region, service, _ = authorization.split("Credential=", 1)[1].split(",", 1)[0].strip().split("/")
    except (IndexError, ValueError):
        return "", "", ""
    return service.lower(), region, key


def _target(environ: Environ) -> str | None:
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return str(target).rsplit(".", 1)[-1]
    path = str(environ.get("PATH_INFO", ""))
    if path.startswith("/service/") and "/operation/" in path:  # the RPC v2 CBOR protocol
        return path.rsplit("/", 1)[-1]
    return None


def _form_action(environ: Environ) -> str | None:
    if not str(environ.get("CONTENT_TYPE", "")).startswith("application/x-www-form-urlencoded"):
        return None
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if not 0 < length <= _LARGEST_FORM:
        return None
    body = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = BytesIO(body)
    return next(iter(parse_qs(body.decode("utf-8", "replace")).get("Action", [])), None)


def _route(service: str, environ: Environ) -> str:
    """The operation of a REST service, by method and path; the method alone where the route is not known."""
    copy = dict(environ) | {"wsgi.input": BytesIO(b"")}
    try:
        operation, _ = get_service_router(service).match(Request(copy))
    except Exception:  # the router is moto's, and raises whatever it likes for what it does not know
        return str(environ.get("REQUEST_METHOD", ""))
    return str(operation.name)


def _protocol(service: str) -> str:
    try:
        return str(get_service_model(service).metadata["protocol"])
    except Exception:  # unknown to botocore: whoever calls it will parse JSON
        return "json"


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """An error as it goes over the wire: HTTP status, headers and body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def error_response(service: str, code: str, message: str, status: int, *, content_type: str = "") -> ErrorResponse:
    """An AWS error in the protocol of `service`.

    Args:
        service: botocore's service name.
        code: the error's code, `AccessDeniedException`.
        message: for people.
        status: HTTP status.
        content_type: the request's, which tells JSON from query where a service speaks both (CloudWatch).
    """
    protocol = _protocol(service)
    if "cbor" in content_type:
        protocol = "cbor"
    elif "json" in content_type and not protocol.startswith("rest"):
        protocol = "json"
    elif content_type.startswith("application/x-www-form-urlencoded") and protocol not in {"query", "ec2"}:
        protocol = "query"
    request_id = str(uuid.uuid4())
    who = "Sender" if status < 500 else "Receiver"
    headers = [("x-amzn-RequestId", request_id), ("x-amz-request-id", request_id)]
    if protocol in {"json", "rest-json"}:
        body = json.dumps({"__type": code, "code": code, "message": message}).encode()
        headers += [
            ("Content-Type", content_type if "json" in content_type else "application/x-amz-json-1.1"),
            ("x-amzn-ErrorType", code),
            ("x-amzn-query-error", f"{code};{who}"),
        ]
    elif protocol == "cbor":
        body = _cbor({"__type": code, "message": message})
        headers += [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")]
    else:
        body = _xml(service, protocol, escape(code), escape(message), who, request_id).encode()
        headers.append(("Content-Type", "text/xml"))
    return ErrorResponse(status, [*headers, ("Content-Length", str(len(body)))], body)


def _cbor(texts: dict[str, str]) -> bytes:
    """A small map of texts in CBOR (RFC 8949): major type 5, then 3 for each key and value, lengths in two bytes."""
    strings = [text.encode()[:60_000] for pair in texts.items() for text in pair]
    return bytes([0xA0 + len(texts)]) + b"".join(b"\x79" + len(s).to_bytes(2) + s for s in strings)


def _xml(service: str, protocol: str, code: str, message: str, who: str, request_id: str) -> str:
    inner = f"<Code>{code}</Code><Message>{message}</Message>"
    if protocol == "ec2":
        return f"<Response><Errors><Error>{inner}</Error></Errors><RequestID>{request_id}</RequestID></Response>"
    if service == "s3":
        return f"<Error>{inner}<RequestId>{request_id}</RequestId></Error>"
    return f"<ErrorResponse><Error><Type>{who}</Type>{inner}</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
