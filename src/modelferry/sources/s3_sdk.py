"""What obstore has no word for in S3: names that are no clean paths, and where a bucket is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import boto3
from botocore import exceptions as botocore
from botocore.config import Config

from modelferry.errors import FerryError
from modelferry.sources.connection import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, proxy_for
from modelferry.sources.refusal import Action, Refusal
from modelferry.sources.s3_refusals import S3Place
from modelferry.sources.source import StoredObject
from modelferry.sources.spec import S3Access

Explain = Callable[[Refusal, Action, str], FerryError]
_REGION_HEADER = "x-amz-bucket-region"  # in every answer about a bucket, refusals too


def list_objects(
    place: S3Place, access: S3Access, folder: str, explain: Explain
) -> Iterator[StoredObject]:
    pages = _client(place, access).get_paginator("list_objects_v2")
    try:
        for page in pages.paginate(Bucket=place.bucket, Prefix=folder):
            for found in page.get("Contents", ()):
                yield StoredObject(
                    key=found["Key"],
                    size_bytes=found["Size"],
                    etag=found["ETag"],
                    modified=found["LastModified"],
                )
    except (botocore.BotoCoreError, botocore.ClientError) as error:
        raise explain(read_botocore(error), "list", folder) from None


def region_of(place: S3Place, access: S3Access) -> str:
    """ "" where S3 does not say."""
    try:
        answer = _client(place, access).head_bucket(Bucket=place.bucket)
    except botocore.ClientError as error:
        answer = error.response
    except botocore.BotoCoreError:
        return ""  # only a hint for a message that is on its way already
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(headers.get(_REGION_HEADER, ""))


def read_botocore(error: botocore.BotoCoreError | botocore.ClientError) -> Refusal:
    """Of any exception of botocore; see tests/unit/sources/test_sdk_exceptions.py."""
    match error:
        case botocore.ClientError():
            details = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return Refusal(status=status, code=details.get("Code", ""))
        case botocore.ConnectTimeoutError() | botocore.ReadTimeoutError():
            return Refusal(connection="no answer in time")
        case botocore.SSLError():
            return Refusal(connection="its TLS certificate is not trusted")
        case botocore.ConnectionError():
            return Refusal(connection="connection failed")
        case botocore.HTTPClientError() | botocore.IncompleteReadError():
            return Refusal(connection="connection broke")
        case _:
            return Refusal(code=type(error).__name__)


def _client(place: S3Place, access: S3Access):
    """Bound to nothing but what is given: no profile, no AWS_* variable, no metadata service."""
    from botocore import UNSIGNED

    def shown(secret: object) -> str | None:
        return secret.reveal() if secret else None  # pyright: ignore[reportAttributeAccessIssue]

    proxy = proxy_for(place.endpoint)
    return boto3.client(
        "s3",
        region_name=place.region,
        endpoint_url=None if place.is_aws else place.endpoint,
        aws_access_key_id=shown(access.access_key_id),
        aws_secret_access_key=shown(access.secret_access_key),
        aws_session_token=shown(access.session_token),
        config=Config(
            signature_version=None if place.signed else UNSIGNED,
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"total_max_attempts": 1},  # one layer retries: modelferry.retry
            s3={"addressing_style": "virtual" if place.host_style else "path"},
            proxies={"http": proxy, "https": proxy} if proxy else None,
        ),
    )
