"""A container registry, by the OCI distribution specification 1.1."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlencode

from modelferry.errors import FerryError, RegistryError
from modelferry.registry.access import RegistryAccess
from modelferry.registry.answers import Answer
from modelferry.registry.keychain import find_credentials
from modelferry.registry.manifests import ACCEPT, StoredManifest
from modelferry.registry.patience import FIRST_S
from modelferry.registry.session import Session
from modelferry.registry.tokens import Scopes
from modelferry.registry.transport import Transport
from modelferry.registry.upload import Blob, Uploads
from modelferry.values import Digest, digest_of

log = logging.getLogger("modelferry.registry")

_RANGE_BYTES = 8 << 20  # of one request


class Registry:
    """Thread-safe. Repositories are named without the registry's host."""

    def __init__(
        self,
        access: RegistryAccess,
        environ: Mapping[str, str] = os.environ,
        *,
        patient: bool = True,
    ) -> None:
        """`patient`: waits for one that is away for a minute, as in a restart."""
        self.host = access.host
        self._transport = Transport(access, find_credentials(access, environ))
        if not patient:
            self._transport.lasting_s = FIRST_S
        self._uploads: dict[str, Uploads] = {}

    def stop(self) -> None:
        """Make calls under way in other threads end soon, with Cancelled."""
        self._transport.stop()

    def check_push(self, repository: str) -> None:
        """IdentityError or RegistryError unless a push would be let in.

        Only a request that opens an upload tells. Where our token may not delete, the empty upload
        stays until the registry removes it by itself: a right to delete is more than a push needs,
        and a login without it would be refused a token that asks for it.
        """
        self._uploads_to(repository).session().open().cancel()
        log.info("%s accepts a push to %s %s", self.host, repository, self._transport.who)

    def has_blob(self, repository: str, digest: Digest, size_bytes: int | None = None) -> bool:
        """RegistryError for a blob of another size, which a full disk may have left there."""
        answer = self._look(repository, f"blobs/{digest}")
        if answer is None:
            return False
        has = answer.headers.get("Content-Length", "")
        if size_bytes is not None and has.isdigit() and int(has) != size_bytes:
            raise RegistryError(
                f"{self.host}/{repository} has a part of blob {digest} only",
                seen=f"{answer}, {has} of {size_bytes} bytes",
                do="Remove that blob from the registry's storage; an upload does not replace it.",
            )
        return True

    def mount_blob(self, repository: str, digest: Digest, source: str) -> bool:
        """Take a blob over from another repository; False where the registry would not."""
        query = urlencode({"mount": digest, "from": source})
        scopes = (*push_scopes(repository), f"repository:{source}:pull")
        try:
            answer = self._transport.call(
                "POST",
                f"/v2/{repository}/blobs/uploads/?{query}",
                expect=(201, 202),
                doing=f"mount from {source} to {repository}",
                scopes=scopes,
                headers={"Content-Length": "0"},
            )
        except FerryError as error:
            if error.temporary:
                raise
            log.info("not mounted from %s: %s", source, error.what)  # we may not read there, say
            return False
        if answer.status == 202 and "Location" in answer.headers:
            Session(self._transport, repository, scopes).take_over(answer).cancel()
        return answer.status == 201

    def upload_blob(self, repository: str, blob: Blob, on_sent: Callable[[int], None]) -> None:
        self._uploads_to(repository).upload(blob, on_sent)

    def read_blob(self, repository: str, digest: Digest) -> bytes:
        """A small blob, such as an image's config, whole and checked."""
        answer = self._read(repository, f"blobs/{digest}", expect=(200,))
        self._check_digest(digest, digest_of(answer.body), repository)
        return answer.body

    def read_range(self, repository: str, digest: Digest, start: int, stop: int) -> bytes:
        """Bytes of a blob of any size, unchecked: they may be in the middle of it."""
        return b"".join(self._ranges(repository, digest, start, stop))

    def head_manifest(self, repository: str, reference: str) -> Digest | None:
        answer = self._look(repository, f"manifests/{reference}", accept=ACCEPT)
        if answer is None:
            return None
        if digest := answer.headers.get("Docker-Content-Digest"):
            return Digest(digest)
        stored = self.get_manifest(repository, reference)
        return stored.digest if stored else None

    def get_manifest(self, repository: str, reference: str) -> StoredManifest | None:
        """`reference`: a tag or a digest. None where the registry has no such manifest."""
        path = f"manifests/{reference}"
        answer = self._read(repository, path, expect=(200, 404), headers={"Accept": ACCEPT})
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

    def _look(self, repository: str, path: str, accept: str = "*/*") -> Answer | None:
        """None where there is nothing."""
        answer = self._transport.call(
            "HEAD",
            f"/v2/{repository}/{path}",
            expect=(200, 404),
            doing=f"look into {repository}",
            scopes=pull_scopes(repository),
            headers={"Accept": accept},
        )
        return answer if answer.status == 200 else None

    def _read(
        self,
        repository: str,
        path: str,
        *,
        expect: tuple[int, ...],
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        return self._transport.call(
            "GET",
            f"/v2/{repository}/{path}",
            expect=expect,
            doing=f"read from {repository}",
            scopes=pull_scopes(repository),
            headers=headers,
        )

    def _ranges(self, repository: str, digest: Digest, start: int, stop: int) -> Iterator[bytes]:
        while start < stop:
            last = min(start + _RANGE_BYTES, stop) - 1
            asked = {"Range": f"bytes={start}-{last}"}
            answer = self._read(repository, f"blobs/{digest}", expect=(206, 200), headers=asked)
            given, size = answer.headers.get("Content-Range", ""), len(answer.body)
            whole = answer.status == 200 and start == 0 and size == stop
            # Less than asked for is allowed, and asked for again.
            in_place = given.startswith(f"bytes {start}-{start + size - 1}/")
            if not (whole or (in_place and 0 < size <= last + 1 - start)):
                raise RegistryError(
                    f"{self.host} does not give bytes {start}-{last} of {digest}",
                    seen=f"GET: HTTP {answer.status}, Content-Range {given!r}, {size} bytes",
                )
            yield answer.body
            start += size

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
