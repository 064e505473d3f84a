"""Every exception that an SDK may raise is one that its adapter catches and has a meaning for.

A class that a new version of an SDK brings fails here until someone has said what it means.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from http.client import responses
from types import ModuleType
from typing import Any

import azure.storage.blob  # noqa: F401 - it adds to the tree of azure.core
import pytest
import urllib3.exceptions
from azure.core import exceptions as azure_exceptions
from botocore import exceptions as botocore_exceptions
from obstore import exceptions as obstore_exceptions

from modelferry.sources.azure_sdk import FAILURES, read_azure
from modelferry.sources.https_refusals import read_urllib3
from modelferry.sources.refusal import Refusal, read_refusal
from modelferry.sources.s3_sdk import read_botocore

DNS = "its name is not known to DNS"
LATE = "no answer in time"
TLS = "its TLS certificate is not trusted"
FAILED = "connection failed"
BROKE = "connection broke"
BY_NAME = None  # no connection trouble: the class's own name is the code

OBSTORE: dict[str, int | None] = {  # status of an exception whose text says nothing
    "BaseError": None,
    "GenericError": None,
    "NotFoundError": None,  # never raised: FileNotFoundError is
    "InvalidPathError": None,
    "JoinError": None,
    "NotSupportedError": None,
    "UnknownConfigurationKeyError": None,
    "AlreadyExistsError": 409,
    "PreconditionError": 412,
    "NotModifiedError": 304,
    "PermissionDeniedError": 403,
    "UnauthenticatedError": 401,
}
AZURE: dict[str, str | None] = {
    "AzureError": BY_NAME,
    "ServiceRequestError": FAILED,
    "ServiceRequestTimeoutError": LATE,
    "ServiceResponseError": BROKE,
    "ServiceResponseTimeoutError": LATE,
    "IncompleteReadError": BROKE,
    "HttpResponseError": BROKE,  # without a status
    "DecodeError": BY_NAME,
    "ResourceExistsError": BY_NAME,
    "ResourceNotFoundError": BY_NAME,
    "ClientAuthenticationError": BY_NAME,
    "ResourceModifiedError": BY_NAME,
    "ResourceNotModifiedError": BY_NAME,
    "TooManyRedirectsError": BY_NAME,
    "ODataV4Error": BY_NAME,
    "PartialBatchErrorException": BY_NAME,
    "AzureSigningError": BY_NAME,
    "StreamConsumedError": BY_NAME,
    "StreamClosedError": BY_NAME,
    "ResponseNotReadError": BY_NAME,
    "DeserializationError": BY_NAME,
}
BOTOCORE = {  # the rest of its hundred classes is about wrong parameters and configuration
    "ConnectionError": FAILED,
    "EndpointConnectionError": FAILED,
    "ProxyConnectionError": FAILED,
    "ConnectTimeoutError": LATE,
    "ReadTimeoutError": LATE,
    "SSLError": TLS,
    "HTTPClientError": BROKE,
    "ConnectionClosedError": BROKE,
    "ResponseStreamingError": BROKE,
    "IncompleteReadError": BROKE,
}
URLLIB3: dict[str, str | None] = {
    "NameResolutionError": DNS,
    "NewConnectionError": "connection refused",
    "ConnectTimeoutError": LATE,
    "ReadTimeoutError": LATE,
    "TimeoutError": LATE,
    "SSLError": TLS,
    "ProxyError": "the proxy does not let it through",
    "ProtocolError": BROKE,
    "ResponseNotChunked": BROKE,
    "IncompleteRead": BROKE,
    "InvalidChunkLength": BROKE,
    **dict.fromkeys(
        [
            "HTTPError", "PoolError", "RequestError", "MaxRetryError", "HostChangedError",
            "EmptyPoolError", "FullPoolError", "ClosedPoolError", "DecodeError",
            "TimeoutStateError", "LocationValueError", "LocationParseError", "URLSchemeUnknown",
            "ProxySchemeUnknown", "ResponseError", "BodyNotHttplibCompatible", "InvalidHeader",
            "HeaderParsingError", "UnrewindableBodyError", "ContentDecodingError",
        ],
        BY_NAME,
    ),
}  # fmt: skip
# Raised for a broken program or an unknown file of botocore's own, never by a call.
NOT_FROM_CALLS = {"UndefinedModelAttributeError", "MissingServiceIdError", "SerializationError"}


def tree(root: type[BaseException]) -> Iterator[type[BaseException]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


def classes(module: ModuleType) -> set[type[BaseException]]:
    return {
        each
        for each in vars(module).values()
        if inspect.isclass(each)
        and issubclass(each, Exception)
        and not issubclass(each, Warning)
        and each.__module__ == module.__name__
        and each.__name__ not in NOT_FROM_CALLS
    }


def bare(kind: type[BaseException]) -> Any:
    """An instance, whatever its constructor wants."""
    return kind.__new__(kind)


def assert_same(found: set[str], known: set[str]) -> None:
    assert not found - known, "new in the SDK: say what these mean"
    assert not known - found, "gone from the SDK"


def test_obstore() -> None:
    found = {kind.__name__: kind for kind in tree(obstore_exceptions.BaseError)}
    assert_same(set(found), set(OBSTORE))
    for name, status in OBSTORE.items():
        assert read_refusal(found[name]("")).status == status, name


def test_azure() -> None:
    found = {kind.__name__: kind for root in FAILURES for kind in tree(root)}
    assert {kind.__name__ for kind in classes(azure_exceptions)} <= set(found), "not caught"
    assert_same(set(found), set(AZURE))
    for name, connection in AZURE.items():
        error = bare(found[name])
        error.status_code = None
        assert read_azure(error) == expected(name, connection)


def test_botocore() -> None:
    roots = (botocore_exceptions.BotoCoreError, botocore_exceptions.ClientError)
    found = {kind.__name__: kind for root in roots for kind in tree(root)}
    assert {kind.__name__ for kind in classes(botocore_exceptions)} <= set(found), "not caught"
    meaning_no_answer = {
        kind.__name__
        for root in (
            botocore_exceptions.ConnectionError,
            botocore_exceptions.HTTPClientError,
            botocore_exceptions.IncompleteReadError,
        )
        for kind in tree(root)
    }
    assert_same(meaning_no_answer, set(BOTOCORE))
    for name, kind in found.items():
        error = bare(kind)
        error.response = {"Error": {"Code": name}}
        assert read_botocore(error) == expected(name, BOTOCORE.get(name))


def test_urllib3() -> None:
    found = {kind.__name__: kind for kind in tree(urllib3.exceptions.HTTPError)}
    outside = {kind.__name__ for kind in classes(urllib3.exceptions)} - set(found)
    assert outside == {"ProxySchemeUnsupported"}, "not caught"  # a ValueError, for https over SOCKS
    assert_same(set(found), set(URLLIB3))
    for name, connection in URLLIB3.items():
        assert read_urllib3(bare(found[name])) == expected(name, connection)


def expected(name: str, connection: str | None) -> Refusal:
    return Refusal(connection=connection) if connection else Refusal(code=name)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 429, 500, 503])
def test_an_azure_answer_keeps_status_and_code(status: int) -> None:
    error = azure_exceptions.HttpResponseError(responses[status])
    error.status_code, error.error_code = status, "SomeCode"  # pyright: ignore[reportAttributeAccessIssue]
    assert read_azure(error) == Refusal(status=status, code="SomeCode")


def test_an_s3_answer_keeps_status_and_code() -> None:
    answer: Any = {
        "Error": {"Code": "NoSuchBucket"},
        "ResponseMetadata": {"HTTPStatusCode": 404},
    }
    error = botocore_exceptions.ClientError(answer, "ListObjectsV2")
    assert read_botocore(error) == Refusal(status=404, code="NoSuchBucket")
