"""Single layers out of Docker's classic store, where `docker save` gives the whole image or nothing
(and writes all of it to disk first): a code commit changes kilobytes above gigabytes of base.

A layer is put together as dockerd itself does it: the tar's headers are in tar-split's journal
(github.com/vbatts/tar-split), contents in the layer's folder. Whatever is not as expected is no
error: nothing is believed before its digest is right.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import logging
import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from modelferry.engine import Engine
from modelferry.image.app.engine_files import (
    UNEXPECTED,
    EngineFiles,
    check_digest,
    engine_files,
    hex_of,
)
from modelferry.image.file_range import FileRange
from modelferry.image.workers import Stop
from modelferry.values import Digest

log = logging.getLogger("modelferry.image")

_STEP = 1 << 20
_IMAGES, _LAYERS = "/modelferry/images", "/modelferry/layers"  # where the store is in the container
HEADERS, CONTENT = 2, 1  # tar-split's types of entries


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLayers:
    config: bytes
    tars: Mapping[Digest, FileRange]  # plain, by diff id


def read_layer_store(
    engine: Engine,
    image_id: str,
    diff_ids: Sequence[Digest],
    wanted: Collection[Digest],
    folder: Path,
    *,
    run_label: str,
    stop: Stop,
) -> StoredLayers | None:
    """The image's config and the `wanted` of its layers, each below `folder`; None where this
    engine's store cannot be read so."""
    if engine.facts.store != "classic" or engine.facts.driver != "overlay2":
        return None
    from docker.errors import DockerException

    try:
        with engine_files(engine, image_id, folders(engine), run_label) as store:
            config = store.read(f"{_IMAGES}/imagedb/content/sha256/{hex_of(image_id)}")
            check_digest(image_id, hashlib.sha256(config).hexdigest())
            chains = dict(zip(diff_ids, chain_ids(diff_ids), strict=True))
            tars = {
                diff_id: _layer(store, diff_id, chains[diff_id], folder, stop) for diff_id in wanted
            }
    except (DockerException, *UNEXPECTED) as error:
        log.info("The engine's store is not read directly: %s", error)
        return None
    return StoredLayers(config=config, tars=tars)


def folders(engine: Engine) -> dict[str, str]:
    root, driver = engine.facts.data_root, engine.facts.driver
    return {str(root / "image" / driver): _IMAGES, str(root / driver): _LAYERS}


def read_journal(store: EngineFiles, chain: Digest) -> bytes:
    """What tar-split wrote of a layer, a line of JSON an entry."""
    return gzip.decompress(store.read(f"{_entry(chain)}/tar-split.json.gz"))


def _entry(chain: Digest) -> str:
    """Where the store tells of a layer."""
    return f"{_IMAGES}/layerdb/sha256/{hex_of(chain)}"


def _layer(
    store: EngineFiles, diff_id: Digest, chain: Digest, folder: Path, stop: Stop
) -> FileRange:
    place = store.read(f"{_entry(chain)}/cache-id").decode()
    journal = read_journal(store, chain)
    contents = folder / f"{hex_of(diff_id)}.contents"
    target = folder / f"{hex_of(diff_id)}.tar"
    try:
        store.fetch(f"{_LAYERS}/{place}/diff", contents, stop)
        found = hashlib.sha256()
        with target.open("xb") as file, contents.open("rb") as packed:
            for chunk in _assemble(journal, packed):
                stop.check()
                found.update(chunk)
                file.write(chunk)
            size = file.tell()
        check_digest(diff_id, found.hexdigest())
    finally:
        contents.unlink(missing_ok=True)
    return FileRange(path=target, start=0, size_bytes=size)


def _assemble(journal: bytes, packed: IO[bytes]) -> Iterator[bytes]:
    with tarfile.open(fileobj=packed, mode="r:") as tar:
        members = {_inside(member.name): member for member in tar}
        for line in journal.splitlines():
            found: dict[str, Any] = json.loads(line)
            if found["type"] == HEADERS:
                yield base64.b64decode(found["payload"])
            elif found["type"] == CONTENT and found.get("size"):
                yield from _content(tar, members[_name(found)], found["size"])


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, size: int) -> Iterator[bytes]:
    content = tar.extractfile(member)  # of a hard link: what it links to
    if content is None:
        raise ValueError(f"{member.name} is no file")
    while size:
        chunk = content.read(min(size, _STEP))
        if not chunk:
            raise ValueError(f"{member.name} is too short")
        size -= len(chunk)
        yield chunk


def _name(entry: Mapping[str, Any]) -> str:
    raw = entry.get("name_raw")
    name = base64.b64decode(raw).decode("utf-8", "surrogateescape") if raw else entry["name"]
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _inside(name: str) -> str:
    """`diff/srv/app.txt` → `srv/app.txt`."""
    return name.strip("/").partition("/")[2]


def chain_ids(diff_ids: Sequence[Digest]) -> Iterator[Digest]:
    """image-spec, config.md, "Layer ChainID"."""
    chain = Digest("")
    for diff_id in diff_ids:
        joint = hashlib.sha256(f"{chain} {diff_id}".encode()).hexdigest()
        chain = Digest(f"sha256:{joint}") if chain else diff_id
        yield chain
