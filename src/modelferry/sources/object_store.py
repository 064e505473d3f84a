"""What Blob and S3 share: obstore lists and looks, signed GETs read. Each explains its refusals
itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import obstore
import urllib3
from obstore.exceptions import BaseError, InvalidPathError

from modelferry.artifacts import ModelFile
from modelferry.errors import FerryError, ModelChanged, ModelError
from modelferry.sources.https_refusals import read_urllib3
from modelferry.sources.refusal import Action, Refusal, read_refusal
from modelferry.sources.signed_gets import CONNECTIONS, SignedGets, range_of, refusal_of
from modelferry.sources.source import PIECE_BYTES, StoredObject, key_of, uri_of
from modelferry.sources.spec import ModelLine

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import AzureStore, S3Store
    from urllib3 import BaseHTTPResponse

_PAGE = 1000
# obstore also raises the last two; ValueError for a name that it cannot send.
_FAILURES = (BaseError, FileNotFoundError, ValueError)


class ObjectStoreSource:
    connections = CONNECTIONS

    def __init__(
        self,
        line: ModelLine,
        store: AzureStore | S3Store,
        gets: SignedGets,
        *,
        explain: Callable[[Refusal, Action, str], FerryError],
        list_plainly: Callable[[str], Iterable[StoredObject]],
    ) -> None:
        """`explain(refusal, action, key or folder)` names the cause; `list_plainly` asks the
        service's own SDK for names that obstore cannot hold.
        """
        self._line, self._store, self._gets = line, store, gets
        self._explain, self._list_plainly = explain, list_plainly

    def list(self, folder: str) -> Iterator[StoredObject]:
        told: set[str] = set()
        try:
            for page in self._store.list(folder or None, chunk_size=_PAGE):
                told.update(meta["path"] for meta in page)
                yield from map(_stored, page)
        except InvalidPathError:
            yield from (found for found in self._list_plainly(folder) if found.key not in told)
        except _FAILURES as error:
            raise self._explain(read_refusal(error), "list", folder) from None

    def head(self, key: str) -> StoredObject:
        try:
            result = self._get(key, {"head": True})
        except _FAILURES:
            raise self._why_refused(key) from None
        # Hierarchical namespaces and Hadoop write empty objects with this to mean a folder.
        is_folder = result.attributes.get("hdi_isfolder") == "true"
        return replace(_stored(result.meta), key=key, is_folder=is_folder)

    def read(self, file: ModelFile, start: int, stop: int) -> Iterator[bytes]:
        key = key_of(self._line, file)
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        if file.etag and not file.etag.startswith("W/"):  # If-Match never holds for a weak one
            headers["If-Match"] = file.etag
        try:
            with self._gets.asked(key, headers) as answer:
                self._look(file, key, (start, stop), answer)
                yield from answer.stream(PIECE_BYTES)
        except urllib3.exceptions.HTTPError as error:
            raise self._explain(read_urllib3(error), "read", key) from None

    def _look(
        self, file: ModelFile, key: str, asked: tuple[int, int], answer: BaseHTTPResponse
    ) -> None:
        """Refuse what is not this range of this object."""
        if answer.status >= 300:
            refusal = refusal_of(answer)
            if refusal.status in (412, 416):
                raise self._changed(file, key, self.head(key).etag)
            raise self._explain(refusal, "read", key)
        came = range_of(answer)
        if came is None or came[:2] != asked:
            raise _another_range(uri_of(self._line, key), asked, came)
        etag = _quoted(answer.headers.get("ETag"))  # not every server heeds If-Match
        if (etag, came[2]) != (file.etag, file.size_bytes):
            raise self._changed(file, key, etag)

    def _get(self, key: str, options: GetOptions) -> obstore.GetResult:
        if self._line.version_id:
            options["version"] = self._line.version_id
        return obstore.get(self._store, key, options=options)

    def _why_refused(self, key: str) -> FerryError:
        """A HEAD answer has no body and so no error code: ask once more, by GET."""
        try:
            self._get(key, {})
        except _FAILURES as error:
            return self._explain(read_refusal(error), "read", key)
        refused = Refusal(connection="HEAD was refused, and GET right after it was not")
        return self._explain(refused, "read", key)

    def _changed(self, file: ModelFile, key: str, now: str | None) -> ModelChanged:
        return ModelChanged(
            f"{uri_of(self._line, key)} changed while it was read",
            seen=f"Its ETag was {file.etag} when it was chosen and is {now} now.",
            do="Let one upload finish before the next run starts, or write each model under a "
            "name of its own and use {latest}.",
        )


def _stored(meta: ObjectMeta) -> StoredObject:
    return StoredObject(
        key=meta["path"],
        size_bytes=meta["size"],
        etag=_quoted(meta["e_tag"]),
        version_id=meta["version"],
        modified=meta["last_modified"],
    )


def _quoted(etag: str | None) -> str | None:
    """As in the header: Blob's listing leaves the quotes out."""
    return f'"{etag}"' if etag and not etag.endswith('"') else etag


def _another_range(
    uri: str, asked: tuple[int, int], came: tuple[int, int, int] | None
) -> ModelError:
    what = f"bytes {came[0]}..{came[1]}" if came else "an answer that is no range"
    return ModelError(
        f"{uri}: {what} where {asked[0]}..{asked[1]} were asked for",
        do="If this happens often, look at the proxy before the storage.",
        temporary=True,
    )
