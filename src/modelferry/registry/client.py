"""A container registry, by the OCI distribution specification 1.1."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from modelferry.errors import RegistryError
from modelferry.registry.access import RegistryAccess
from modelferry.registry.keychain import find_credentials
from modelferry.registry.manifests import ACCEPT, StoredManifest, digest_of
from modelferry.registry.tokens import Scopes
from modelferry.registry.transport import Transport
from modelferry.registry.upload import Blob, Uploads
from modelferry.values import Digest

log = logging.getLogger("modelferry.registry")


class Registry:
    """Thread-safe. Repositories are named without the registry's host."""

    def __init__(self, access: RegistryAccess, environ: Mapping[str, str] = os.environ) -> None:
        self.host = access.host
        self._transport = Transport(access, find_credentials(access, environ))
        self._uploads: dict[str, Uploads] = {}

    def stop(self) -> None:
        """Make calls under way in other threads end soon, with Cancelled."""
        self._transport.stop()

    def check_push(self, repository: str) -> None:
        """IdentityError or RegistryError unless a push would be let in; leaves nothing there."""
        uploads = self._uploads_to(repository)
        uploads.cancel(uploads.open())
        log.info("%s accepts a push to %s %s", self.host, repository, self._transport.who)

    def has_blob(self, repository: str, digest: Digest) -> bool:
        answer = self._transport.call(
            "HEAD",
            f"/v2/{repository}/blobs/{digest}",
            expect=(200, 404),
            doing=f"look into {repository}",
            scopes=push_scopes(repository),
        )
        return answer.status == 200

    def mount_blob(self, repository: str, digest: Digest, source: str) -> bool:
        """Take a blob over from another repository; False where the registry would not."""
        query = urlencode({"mount": digest, "from": source})
        answer = self._transport.call(
            "POST",
            f"/v2/{repository}/blobs/uploads/?{query}",
            expect=(201, 202),
            doing=f"push to {repository}",
            scopes=(*push_scopes(repository), f"repository:{source}:pull"),
            headers={"Content-Length": "0"},
        )
        if answer.status == 202 and "Location" in answer.headers:
            self._uploads_to(repository).cancel(answer.headers["Location"])
        return answer.status == 201

    def upload_blob(self, repository: str, blob: Blob, on_sent: Callable[[int], None]) -> None:
        self._uploads_to(repository).upload(blob, on_sent)

    def read_blob(self, repository: str, digest: Digest) -> bytes:
        """A small blob, such as an image's config, whole and checked."""
        answer = self._transport.call(
            "GET",
            f"/v2/{repository}/blobs/{digest}",
            expect=(200,),
            doing=f"read from {repository}",
            scopes=pull_scopes(repository),
        )
        self._check_digest(digest, digest_of(answer.body), repository)
        return answer.body

    def head_manifest(self, repository: str, reference: str) -> Digest | None:
        answer = self._transport.call(
            "HEAD",
            f"/v2/{repository}/manifests/{reference}",
            expect=(200, 404),
            doing=f"look into {repository}",
            scopes=pull_scopes(repository),
            headers={"Accept": ACCEPT},
        )
        if answer.status == 404:
            return None
        if digest := answer.headers.get("Docker-Content-Digest"):
            return Digest(digest)
        stored = self.get_manifest(repository, reference)
        return stored.digest if stored else None

    def get_manifest(self, repository: str, reference: str) -> StoredManifest | None:
        """`reference`: a tag or a digest. None where the registry has no such manifest."""
        answer = self._transport.call(
            "GET",
            f"/v2/{repository}/manifests/{reference}",
            expect=(200, 404),
            doing=f"read from {repository}",
            scopes=pull_scopes(repository),
            headers={"Accept": ACCEPT},
        )
        if answer.status == 404:
            return None
        digest = digest_of(answer.body)
        if reference.startswith("sha256:"):
            self._check_digest(Digest(reference), digest, repository)
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        return StoredManifest(media_type=media_type, digest=digest, data=answer.body)

    def put_manifest(self, repository: str, reference: str, data: bytes, media_type: str) -> Digest:
        """The digest by which the registry keeps it, equal to that of the bytes."""
        answer = self._transport.call(
            "PUT",
            f"/v2/{repository}/manifests/{reference}",
            expect=(201, 200),
            doing=f"push {repository}:{reference}",
            scopes=push_scopes(repository),
            headers={"Content-Type": media_type},
            body=data,
        )
        kept = Digest(answer.headers.get("Docker-Content-Digest", digest_of(data)))
        self._check_digest(digest_of(data), kept, repository)
        return kept

    def _check_digest(self, wanted: Digest, got: Digest, repository: str) -> None:
        if wanted != got:
            raise RegistryError(
                f"{self.host}/{repository} has other bytes for {wanted}",
                seen=f"their digest is {got}",
                do="The registry's storage, or something between here and there, changes content.",
            )

    def _uploads_to(self, repository: str) -> Uploads:
        scopes = push_scopes(repository)
        return self._uploads.setdefault(repository, Uploads(self._transport, repository, scopes))


def push_scopes(repository: str) -> Scopes:
    return (f"repository:{repository}:pull,push",)


def pull_scopes(repository: str) -> Scopes:
    return (f"repository:{repository}:pull",)
