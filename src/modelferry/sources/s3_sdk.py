"""What obstore has no word for in S3: names that are no clean paths."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore import exceptions as aws
from botocore.config import Config

from modelferry.errors import FerryError
from modelferry.sources.connection import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, proxy_for
from modelferry.sources.refusal import Action, Refusal
from modelferry.sources.s3_refusals import S3Place
from modelferry.sources.source import StoredObject
from modelferry.sources.spec import S3Access
from modelferry.values import Secret

Explain = Callable[[Refusal, Action, str], FerryError]


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
    except (aws.BotoCoreError, aws.ClientError) as error:
        raise explain(read_botocore(error), "list", folder) from None


def read_botocore(error: aws.BotoCoreError | aws.ClientError) -> Refusal:
    """Of any exception of botocore; see tests/unit/sources/test_sdk_exceptions.py."""
    match error:
        case aws.ClientError():
            details = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return Refusal(status=status, code=details.get("Code", ""))
        case aws.ConnectTimeoutError() | aws.ReadTimeoutError():
            return Refusal(connection="no answer in time")
        case aws.SSLError():
            return Refusal(connection="its TLS certificate is not trusted")
        case aws.ConnectionError():
            return Refusal(connection="connection failed")
        case aws.HTTPClientError() | aws.IncompleteReadError():
            return Refusal(connection="connection broke")
        case _:
            return Refusal(code=type(error).__name__)


def _client(place: S3Place, access: S3Access):
    """Bound to nothing but what is given: no profile, no AWS_* variable, no metadata service."""
    nothing = (None, None, os.devnull, None)
    session = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": nothing,
            "credentials_file": nothing,
        }
    )
    proxy = proxy_for(place.endpoint)
    return boto3.Session(botocore_session=session).client(
        "s3",
        region_name=place.region,
        endpoint_url=None if place.is_aws else place.endpoint,
        aws_access_key_id=_shown(access.access_key_id),
        aws_secret_access_key=_shown(access.secret_access_key),
        aws_session_token=_shown(access.session_token),
        config=Config(
            signature_version=None if place.signed else UNSIGNED,
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"total_max_attempts": 1},  # one layer retries: modelferry.retry
            s3={"addressing_style": "virtual" if place.host_style else "path"},
            proxies={"http": proxy, "https": proxy} if proxy else None,
            ignore_configured_endpoint_urls=True,
        ),
    )


def _shown(secret: Secret | None) -> str | None:
    return secret.reveal() if secret else None
