from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from obstore.exceptions import InvalidPathError

from modelferry.errors import ModelError
from modelferry.sources.object_store import ObjectStoreSource
from modelferry.sources.signed_gets import SignedGets
from modelferry.sources.source import StoredObject
from tests.unit.sources.test_targets import line

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def meta(path: str, etag: str) -> dict[str, Any]:
    return {"path": path, "size": 1, "e_tag": etag, "version": None, "last_modified": NOW}


class SecondPageIsHostile:
    """A listing of more than one page cannot be had from the testbed in reasonable time."""

    def list(self, prefix: str | None, chunk_size: int) -> Iterator[list[dict[str, Any]]]:
        yield [meta("m/a", "0x1"), meta("m/b", '"0x2"')]
        raise InvalidPathError("m/c//d")


def test_what_obstore_cannot_hold_is_listed_plainly_and_nothing_twice() -> None:
    plain = [StoredObject(key=f"m/{name}", size_bytes=1, etag=None) for name in ("a", "b", "c//d")]
    store: Any = SecondPageIsHostile()
    source = ObjectStoreSource(
        line(),
        store,
        SignedGets("http://127.0.0.1:1", {}, lambda url, headers: (url, headers)),
        explain=lambda *_: ModelError("no"),
        list_plainly=lambda folder: plain,
    )
    found = list(source.list("m/"))
    assert [each.key for each in found] == ["m/a", "m/b", "m/c//d"]
    assert [each.etag for each in found[:2]] == ['"0x1"', '"0x2"'], "as the header has it"
