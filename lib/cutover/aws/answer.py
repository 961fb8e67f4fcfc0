"""Whether an answer with a good status is one: that it arrived whole, and holds what its operation always answers with.

botocore reads an empty, torn or foreign body of a JSON service as `{}`, and `{}` reads as "there is none". What an
operation always answers with is told by botocore's own models: the list that it pages through, or its only member.
Real services send that list even where it is empty.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

from botocore import xform_name
from botocore.model import OperationModel, ServiceModel

from cutover.aws.problem import BrokenAnswer
from cutover.aws_session import loader

_LOOK = re.compile(r"Describe|List|Get|Lookup|Filter|Simulate|Search|Test")
_PAGING = re.compile(r"(token|marker|truncated|maxitems)$", re.I)
_BESIDES = {"failures", "tags", "errors", "Messages"}
"""Lists that some answers have besides what was asked for."""
_MAY_BE_EMPTY = {("wafv2", "GetWebACLForResource")}
"""Operations that answer with nothing where there is nothing: a balancer without a web ACL."""


@functools.cache
def model(service: str) -> ServiceModel | None:
    """What botocore knows of a service (boto3's name of its client); None when it knows none of that name."""
    if service not in loader().list_available_services("service-2"):
        return None
    return ServiceModel(loader().load_service_model(service, "service-2"), service)


@functools.cache
def choices(service: str, shape: str) -> tuple[str, ...]:
    """The values of an enumeration in a service's model, such as ACM's `KeyAlgorithm`."""
    known = model(service)
    found: Any = known.shape_for(shape) if known else None
    return tuple(found.enum) if found else ()


def checked(service: str, operation: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """An answer that holds what its operation always answers with.

    Args:
        service: boto3's name of the client.
        operation: boto3's name of the method.
        data: the answer (or a page of it), as botocore parsed it.

    Raises:
        BrokenAnswer: it does not.
    """
    lacking = [name for name in _essential(service, operation) if data.get(name) in (None, {})]
    if lacking:
        raise BrokenAnswer(f"the answer has no {lacking[0]}")
    if not data.keys() - {"ResponseMetadata"} and _never_empty(service, operation):
        raise BrokenAnswer("the answer is empty")
    return dict(data)


def watch(client: Any) -> None:
    """See that every answer to a client arrived whole, before botocore makes `{}` of it."""
    client.meta.events.register("before-parse.*", _whole, unique_id="cutover-whole-answer")


def _whole(operation_model: OperationModel, response_dict: Mapping[str, Any], **_: Any) -> None:
    body = response_dict.get("body")
    output = operation_model.output_shape
    if response_dict["status_code"] >= 300 or not isinstance(body, bytes) or output is None:
        return
    protocol = operation_model.service_model.resolved_protocol
    wanted = _members(operation_model)
    identifier = str(response_dict.get("headers", {}).get("x-amzn-RequestId") or "")
    if protocol in ("json", "rest-json") and wanted and (body or _LOOK.match(operation_model.name)):
        try:
            good = isinstance(json.loads(body), dict)
        except ValueError:
            good = False
        if not good:
            raise BrokenAnswer(f"the answer is no JSON object ({len(body)} bytes)", identifier)
    elif protocol == "rest-xml" and wanted and not body and _LOOK.match(operation_model.name):
        raise BrokenAnswer("the answer is empty", identifier)


@functools.cache
def _operation(service: str, method: str) -> OperationModel | None:
    known = model(service)
    name = next((n for n in known.operation_names if xform_name(n) == method), None) if known else None
    return known.operation_model(name) if known and name else None


def _members(operation: OperationModel) -> dict[str, Any]:
    """The members of an answer that stand in its body, each with its shape; none of one that is a file's content."""
    output = operation.output_shape
    if output is None:
        return {}
    payload = output.serialization.get("payload")
    inside = {n: s for n, s in output.members.items() if not s.serialization.get("location")}
    if payload:
        return {n: s for n, s in inside.items() if n == payload and s.type_name == "structure"}
    return inside


@functools.cache
def _essential(service: str, method: str) -> tuple[str, ...]:
    """The members that an operation's answer always has."""
    operation = _operation(service, method)
    if operation is None or operation.output_shape is None or (service, operation.name) in _MAY_BE_EMPTY:
        return ()
    members = _members(operation)
    required = [n for n in operation.output_shape.required_members if n in members and members[n].type_name in _HOLDING]
    if operation.service_model.resolved_protocol == "rest-xml":  # S3 leaves empty lists out
        return tuple(required or (members if operation.output_shape.serialization.get("payload") else ()))
    if required:
        return tuple(required)
    pages = _pages(service, operation.name)
    if pages:
        return tuple(n for n in pages[:1] if n in members)
    only = [n for n in members if n not in _BESIDES and not _PAGING.search(n)]
    return tuple(n for n in only if len(only) == 1 and members[n].type_name in _HOLDING)


_HOLDING = ("list", "structure")


def _pages(service: str, name: str) -> list[str]:
    """What an operation pages through, dotted; nothing where it does not."""
    try:
        found = loader().load_service_model(service, "paginators-1")["pagination"].get(name, {}).get("result_key", [])
    except Exception:  # botocore has no paginators for some services, and raises its own kinds
        return []
    return [found] if isinstance(found, str) else list(found)


def _never_empty(service: str, method: str) -> bool:
    """Whether an answer without any member is none: a look at what is described by its own fields alone."""
    operation = _operation(service, method)
    if operation is None or (service, operation.name) in _MAY_BE_EMPTY:
        return False
    xml = operation.service_model.resolved_protocol == "rest-xml"  # an S3 bucket without versioning answers so
    return bool(not xml and _LOOK.match(operation.name) and _members(operation))
