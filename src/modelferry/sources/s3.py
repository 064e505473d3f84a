"""S3 and what speaks like it: listings by obstore, bytes by signed GETs, names that obstore cannot
hold by boto3."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from modelferry.errors import FerryError
from modelferry.sources.connection import client_options, proxy_for, retry_config
from modelferry.sources.object_store import ObjectStoreSource
from modelferry.sources.refusal import Action, Refusal
from modelferry.sources.s3_refusals import S3Place, explain_s3
from modelferry.sources.s3_signature import sign_s3_get
from modelferry.sources.signed_gets import SignedGets
from modelferry.sources.source import Source, StoredObject
from modelferry.sources.spec import ModelLine, S3Access

if TYPE_CHECKING:
    from obstore.store import S3Store

_DEFAULT_REGION = "us-east-1"


def open_s3(line: ModelLine, access: S3Access) -> Source:
    place = s3_place(line.authority, access)

    def explain(refusal: Refusal, action: Action, key: str) -> FerryError:
        if refusal.redirected and not refusal.region:
            refusal = Refusal(status=301, redirected=True, region=_region_of(place))
        return explain_s3(line, place, refusal, action, key)

    def list_plainly(folder: str) -> Iterator[StoredObject]:
        from modelferry.sources.s3_sdk import list_objects

        return list_objects(place, access, folder, explain)

    return ObjectStoreSource(
        line,
        _store(place, access),
        SignedGets(
            place.address,
            {"versionId": line.version_id} if line.version_id else {},
            partial(sign_s3_get, access, place.region),
        ),
        explain=explain,
        list_plainly=list_plainly,
    )


def s3_place(bucket: str, access: S3Access) -> S3Place:
    """Path style at an endpoint of one's own, and for names whose dots no certificate covers."""
    region = access.region or _DEFAULT_REGION
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    host_style = access.endpoint is None and "." not in bucket
    endpoint = access.endpoint or f"https://s3.{region}.{suffix}"
    if host_style:
        endpoint = f"https://{bucket}.s3.{region}.{suffix}"
    return S3Place(
        bucket=bucket,
        region=region,
        endpoint=endpoint.rstrip("/"),
        host=urlsplit(endpoint).netloc,
        host_style=host_style,
        is_aws=access.endpoint is None,
        signed=access.access_key_id is not None,
    )


def _region_of(place: S3Place) -> str:
    """In every answer about a bucket, unsigned refusals too; "" where it does not say."""
    from urllib3.exceptions import HTTPError

    from modelferry.sources.web import pool, timeout

    try:
        answer = pool(proxy_for(place.address), 1).request(
            "HEAD", place.address, redirect=False, retries=False, timeout=timeout()
        )
    except HTTPError:
        return ""  # only a hint for a message that is on its way already
    return answer.headers.get("x-amz-bucket-region", "")


def _store(place: S3Place, access: S3Access) -> S3Store:
    """Everything is said outright, as obstore fills what is left out from AWS_* variables."""
    from obstore.store import S3Store

    options: dict[str, Any] = {}
    if access.access_key_id and access.secret_access_key:
        credential = {
            "access_key_id": access.access_key_id.reveal(),
            "secret_access_key": access.secret_access_key.reveal(),
            "token": access.session_token.reveal() if access.session_token else None,
            "expires_at": None,
        }
        options["credential_provider"] = lambda: credential
    return S3Store(
        place.bucket,
        region=place.region,
        endpoint=place.endpoint,
        aws_endpoint_url_s3=place.endpoint,
        virtual_hosted_style_request=place.host_style,
        skip_signature=not place.signed,
        s3_express=False,
        request_payer=False,
        client_options=client_options(place.endpoint),
        retry_config=retry_config(),
        **options,
    )
