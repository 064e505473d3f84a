"""S3's error codes → cause and remedy. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from modelferry.errors import FerryError, IdentityError, ModelError, ModelNotFound
from modelferry.sources.refusal import Action, Refusal, refused_for_now
from modelferry.sources.source import uri_of
from modelferry.sources.spec import ModelLine

_WRONG_REGION = {
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
}
_UNKNOWN_KEY_ID = {"InvalidAccessKeyId", "XAdminUserNotFound"}  # the second is versitygw's
_DEAD_TOKEN = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
_ARCHIVED = {"InvalidObjectState"}


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Place:
    bucket: str
    region: str
    endpoint: str
    host: str
    host_style: bool  # the bucket is in the host's name, not in the path
    is_aws: bool
    signed: bool

    @property
    def address(self) -> str:
        """Of the bucket; no slash at its end."""
        return self.endpoint if self.host_style else f"{self.endpoint}/{self.bucket}"


def explain_s3(  # noqa: PLR0911 - one return a cause
    line: ModelLine, place: S3Place, refusal: Refusal, action: Action, key: str
) -> FerryError:
    uri = uri_of(line, key)
    if refusal.connection:
        return _no_answer(uri, place, refusal, action)
    if refusal.redirected or refusal.code in _WRONG_REGION:
        return _wrong_region(place, refusal)
    if refusal.code in _UNKNOWN_KEY_ID:
        return IdentityError(
            f"{place.host} does not know the access key id ({refusal})",
            seen=f"While trying to {action} {uri}.",
            do="Check `aws-access-key-id`; a key of another account or `s3-endpoint` looks alike.",
        )
    if refusal.code == "SignatureDoesNotMatch":
        return IdentityError(
            f"{place.host} refused the signature ({refusal})",
            seen=f"The access key id is known. While trying to {action} {uri}.",
            do="Check `aws-secret-access-key`: it does not belong to `aws-access-key-id`, or a "
            "character of it was lost on the way into the secret.",
        )
    if refusal.code in _DEAD_TOKEN:
        return IdentityError(
            f"{place.host} refused the session token ({refusal})",
            seen=f"While trying to {action} {uri}.",
            do="Get new credentials: key id, secret and `aws-session-token` belong together.",
        )
    if refusal.code == "RequestTimeTooSkewed":
        return IdentityError(
            f"{place.host} refused the request's time ({refusal})",
            do="Set this machine's clock: it must be right within 15 minutes.",
        )
    if refusal.code == "NoSuchBucket":
        return ModelNotFound(
            f"Bucket {place.bucket!r} does not exist at {place.host} ({refusal})",
            do="Check the bucket's name in `model`, and `s3-endpoint`.",
        )
    if line.version_id and (
        refusal.code in ("NoSuchVersion", "InvalidArgument") or refusal.status == 404
    ):
        return ModelNotFound(
            f"{uri} has no version {line.version_id!r} ({refusal})",
            do="Check ?versionId= in `model`; `aws s3api list-object-versions` lists them.",
        )
    if refusal.status == 404:
        return ModelNotFound(
            f"{uri} does not exist ({refusal})",
            seen=f"The bucket {place.bucket!r} does.",
            do="Check the key in `model`, upper and lower case too.",
        )
    if refusal.code in _ARCHIVED:
        return ModelError(
            f"{uri} is in an archive storage class ({refusal})",
            do="Restore it first: aws s3api restore-object.",
        )
    if refusal.status in (401, 403):
        return _denied(uri, place, refusal, action)
    return refused_for_now(
        f"S3 at {place.host} refused to {action} {uri} ({refusal})",
        refusal,
        do="Look the code up in the S3 error responses.",
    )


def _no_answer(uri: str, place: S3Place, refusal: Refusal, action: Action) -> ModelError:
    return ModelError(
        f"S3 at {place.host} does not answer: {refusal}",
        seen=f"While trying to {action} {uri}.",
        do="Check `aws-region` and the network."
        if place.is_aws
        else "Check `s3-endpoint`, the proxy and firewall between, and the network.",
        temporary=True,
    )


def _wrong_region(place: S3Place, refusal: Refusal) -> ModelError:
    where = f"is in region {refusal.region}" if refusal.region else "is in another region"
    return ModelError(
        f"Bucket {place.bucket!r} {where}, not in {place.region} ({refusal})",
        seen=f"Asked at {place.host}.",
        do=f"Set `aws-region` to {refusal.region or 'the region of the bucket'}.",
    )


def _denied(uri: str, place: S3Place, refusal: Refusal, action: Action) -> IdentityError:
    if not place.signed:
        return IdentityError(
            f"{place.host} refused to {action} {uri} ({refusal}): no credential was given and the "
            "bucket is not public",
            do="Give `aws-access-key-id` and `aws-secret-access-key`.",
        )
    if action == "list":
        return IdentityError(
            f"{place.host} refused to list {uri} ({refusal})",
            seen="Folders, * and {latest} are listed.",
            do=f"Allow s3:ListBucket on arn:aws:s3:::{place.bucket} for this access key.",
        )
    return IdentityError(
        f"{place.host} refused to read {uri} ({refusal})",
        seen="S3 says so of an object that is not there too, unless the key may list.",
        do=f"Check the key in `model`, and allow s3:GetObject on arn:aws:s3:::{place.bucket}/* "
        f"and s3:ListBucket on arn:aws:s3:::{place.bucket}.",
    )
