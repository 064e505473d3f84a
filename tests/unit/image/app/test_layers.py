import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from modelferry.artifacts import Descriptor
from modelferry.engine import Store
from modelferry.errors import BuildError
from modelferry.image.app.archive import read_archive
from modelferry.image.app.layer_store import StoredLayers
from modelferry.image.app.layers import SavedApp, app_in_registry, assemble
from modelferry.image.blob_range import ReadRange
from modelferry.image.released import ReleasedLayer
from modelferry.image.workers import Stop
from modelferry.values import Digest

LAYERS = {name: name.encode() * 5000 for name in ("base", "app")}


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


CONFIG = json.dumps(
    {"rootfs": {"diff_ids": [f"sha256:{sha(LAYERS[n])}" for n in ("base", "app", "base")]}}
).encode()


def archive(folder: Path, entries: dict[str, bytes | str]) -> Path:
    """A tar of files; a text value is a link to another entry."""
    path = folder / "app.tar"
    with tarfile.open(path, "w") as tar:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return path


def docker_archive(folder: Path, **changed: bytes) -> Path:
    """As Docker before 25 saves an image: a folder a layer, a repeated layer as a link."""
    layers = {**LAYERS, **changed}
    listed = {"Config": "c.json", "Layers": ["b/layer.tar", "a/layer.tar", "b2/layer.tar"]}
    return archive(
        folder,
        {
            "a/layer.tar": layers["app"],
            "b2/layer.tar": "../b/layer.tar",
            "b/layer.tar": layers["base"],
            "c.json": CONFIG,
            "manifest.json": json.dumps([listed]).encode(),
        },
    )


def oci_archive(folder: Path) -> Path:
    """As the containerd store saves one: its blobs as they are, attestations beside the image."""
    blobs = {n: gzip.compress(LAYERS[n]) for n in LAYERS}
    docker_gzip = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    manifest = json.dumps(
        {
            "config": {"digest": f"sha256:{sha(CONFIG)}"},
            "layers": [
                {"mediaType": docker_gzip, "digest": f"sha256:{sha(b)}", "size": len(b)}
                for b in (blobs["base"], blobs["app"], blobs["base"])
            ],
        }
    ).encode()
    platforms = {
        "attestation": ("0" * 64, "unknown"),
        "absent": ("1" * 64, "windows"),
        "ours": (sha(manifest), "linux"),
    }
    inner = json.dumps(
        {
            "manifests": [
                {"digest": f"sha256:{digest}", "platform": {"os": system}}
                for digest, system in platforms.values()
            ]
        }
    ).encode()
    outer = json.dumps({"manifests": [{"digest": f"sha256:{sha(inner)}"}]}).encode()
    contents = [inner, manifest, CONFIG, *blobs.values()]
    return archive(folder, {"index.json": outer} | {f"blobs/sha256/{sha(b)}": b for b in contents})


def whole(app: SavedApp) -> list[bytes]:
    return [layer.read(0, layer.descriptor.size_bytes) for layer in app.image.layers]


def registry(name: str, blob: bytes, repository: str = "team/app") -> ReleasedLayer:
    """A layer that the registry has, compressed by somebody else."""
    descriptor = Descriptor(
        media_type="application/vnd.docker.image.rootfs.diff.tar.gzip",
        digest=Digest(f"sha256:{sha(blob)}"),
        size_bytes=len(blob),
    )
    diff_id = Digest(f"sha256:{sha(LAYERS[name])}")
    return ReleasedLayer(descriptor=descriptor, diff_id=diff_id, repository=repository)


def saved(
    path: Path,
    store: Store = "classic",
    *,
    compress_in: Path | None = None,
    there: dict[Digest, ReleasedLayer] | None = None,
    read_range: ReadRange | None = None,
) -> SavedApp:
    stored = read_archive(path, store)
    return assemble(stored, there or {}, read_range, compress_in=compress_in, stop=Stop())


def test_what_the_registry_has_is_not_compressed_again(tmp_path: Path) -> None:
    blob = gzip.compress(LAYERS["base"], 1)
    asked: list[tuple[str, int, int]] = []

    def read_range(repository: str, digest: Digest, start: int, stop: int) -> bytes:
        assert digest == f"sha256:{sha(blob)}"
        asked.append((repository, start, stop))
        return blob[start:stop]

    known = registry("base", blob)
    app = saved(
        docker_archive(tmp_path),
        compress_in=tmp_path,
        there={known.diff_id: known},
        read_range=read_range,
    )
    assert [layer.descriptor.digest for layer in app.image.layers][::2] == [
        known.descriptor.digest
    ] * 2
    assert {layer.descriptor.media_type for layer in app.image.layers} == {
        "application/vnd.oci.image.layer.v1.tar+gzip"
    }
    assert len(list(tmp_path.glob("*.gz"))) == 1
    assert app.stored[known.diff_id].read(0, 9) == LAYERS["base"][:9]  # the engine's, at hand
    assert asked == []
    assert app.image.layers[0].read(0, len(blob)) == blob
    assert asked == [("team/app", 0, len(blob))]


def test_what_was_not_taken_out_of_the_engine_is_read_from_the_registry(tmp_path: Path) -> None:
    blob = gzip.compress(LAYERS["base"])
    known = registry("base", blob)
    stored = read_archive(docker_archive(tmp_path), "classic")
    assert isinstance(stored, StoredLayers)
    partly = replace(stored, tars={d: tar for d, tar in stored.tars.items() if d != known.diff_id})
    app = assemble(
        partly,
        {known.diff_id: known},
        lambda repository, digest, start, stop: blob[start:stop],
        compress_in=tmp_path,
        stop=Stop(),
    )
    assert gzip.decompress(whole(app)[0]) == LAYERS["base"]
    assert app.stored[known.diff_id].read(0, len(blob)) == blob


def test_a_containerd_store_keeps_its_own_blobs(tmp_path: Path) -> None:
    """Another compression of the same layer in the registry is left alone: the image in the engine
    is the one that is pushed."""
    other = registry("base", gzip.compress(LAYERS["base"], 1))
    app = saved(oci_archive(tmp_path), "containerd", there={other.diff_id: other})
    assert gzip.decompress(whole(app)[0]) == LAYERS["base"]
    assert app.image.layers[0].descriptor.digest != other.descriptor.digest


def test_an_app_in_the_registry_is_read_there() -> None:
    blobs = {name: gzip.compress(data) for name, data in LAYERS.items()}
    by_digest = {f"sha256:{sha(blob)}": blob for blob in blobs.values()}
    app = app_in_registry(
        CONFIG,
        [registry(name, blobs[name]) for name in ("base", "app", "base")],
        lambda repository, digest, start, stop: by_digest[digest][start:stop],
    )
    assert app.image.config == CONFIG
    assert [gzip.decompress(blob) for blob in whole(app)] == [
        LAYERS[name] for name in ("base", "app", "base")
    ]


def test_layers_are_compressed_when_they_will_travel(tmp_path: Path) -> None:
    app = saved(docker_archive(tmp_path), compress_in=tmp_path)
    assert app.image.config == CONFIG
    for layer, packed, name in zip(
        app.image.layers, whole(app), ("base", "app", "base"), strict=True
    ):
        assert gzip.decompress(packed) == LAYERS[name]
        assert layer.descriptor.digest == f"sha256:{sha(packed)}"
        assert layer.descriptor.media_type == "application/vnd.oci.image.layer.v1.tar+gzip"
        assert layer.diff_id == f"sha256:{sha(LAYERS[name])}"


def test_compressing_twice_gives_the_same_blob(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    path = docker_archive(tmp_path)
    first = saved(path, compress_in=tmp_path)
    second = saved(path, compress_in=tmp_path / "x")
    assert whole(first) == whole(second)
    assert whole(first)[0][4:8] == bytes(4)  # no time in the header


def test_layers_stay_plain_when_nothing_travels(tmp_path: Path) -> None:
    app = saved(docker_archive(tmp_path))
    assert whole(app) == [LAYERS["base"], LAYERS["app"], LAYERS["base"]]
    assert [p.name for p in tmp_path.iterdir()] == ["app.tar"]


def test_the_engines_loader_is_offered_the_plain_layers(tmp_path: Path) -> None:
    app = saved(docker_archive(tmp_path), compress_in=tmp_path)
    stored = {key: part.read(0, part.size_bytes) for key, part in app.stored.items()}
    assert stored == {f"sha256:{sha(data)}": data for data in LAYERS.values()}


def test_other_bytes_than_were_built_are_refused(tmp_path: Path) -> None:
    path = docker_archive(tmp_path, app=b"rotten")
    with pytest.raises(BuildError, match="gave other bytes for layer"):
        saved(path, compress_in=tmp_path)


def test_the_containerd_store_gives_its_blobs_as_they_are(tmp_path: Path) -> None:
    app = saved(oci_archive(tmp_path), "containerd", compress_in=tmp_path)
    assert app.image.config == CONFIG
    assert [gzip.decompress(b) for b in whole(app)] == [
        LAYERS["base"],
        LAYERS["app"],
        LAYERS["base"],
    ]
    for layer, packed in zip(app.image.layers, whole(app), strict=True):
        assert layer.descriptor.digest == f"sha256:{sha(packed)}"
        assert layer.descriptor.media_type == "application/vnd.oci.image.layer.v1.tar+gzip"
    assert [p.name for p in tmp_path.iterdir()] == ["app.tar"]


def test_a_layout_without_an_image_is_named(tmp_path: Path) -> None:
    path = archive(tmp_path, {"index.json": b'{"manifests": []}'})
    with pytest.raises(BuildError, match="holds no image manifest"):
        read_archive(path, "containerd")
