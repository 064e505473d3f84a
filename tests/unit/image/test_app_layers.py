import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from modelferry.errors import BuildError
from modelferry.image.app_layers import SavedApp, read_archive
from modelferry.image.workers import Stop

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


def whole(saved: SavedApp) -> list[bytes]:
    return [layer.read(0, layer.descriptor.size_bytes) for layer in saved.image.layers]


def test_layers_are_compressed_when_they_will_travel(tmp_path: Path) -> None:
    saved = read_archive(docker_archive(tmp_path), "classic", compress_in=tmp_path, stop=Stop())
    assert saved.image.config == CONFIG
    for layer, packed, name in zip(
        saved.image.layers, whole(saved), ("base", "app", "base"), strict=True
    ):
        assert gzip.decompress(packed) == LAYERS[name]
        assert layer.descriptor.digest == f"sha256:{sha(packed)}"
        assert layer.descriptor.media_type == "application/vnd.oci.image.layer.v1.tar+gzip"
        assert layer.diff_id == f"sha256:{sha(LAYERS[name])}"


def test_compressing_twice_gives_the_same_blob(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    path = docker_archive(tmp_path)
    first = read_archive(path, "classic", compress_in=tmp_path, stop=Stop())
    second = read_archive(path, "classic", compress_in=tmp_path / "x", stop=Stop())
    assert whole(first) == whole(second)
    assert whole(first)[0][4:8] == bytes(4)  # no time in the header


def test_layers_stay_plain_when_nothing_travels(tmp_path: Path) -> None:
    saved = read_archive(docker_archive(tmp_path), "classic", compress_in=None, stop=Stop())
    assert whole(saved) == [LAYERS["base"], LAYERS["app"], LAYERS["base"]]
    assert [p.name for p in tmp_path.iterdir()] == ["app.tar"]


def test_the_engines_loader_is_offered_the_plain_layers(tmp_path: Path) -> None:
    saved = read_archive(docker_archive(tmp_path), "classic", compress_in=tmp_path, stop=Stop())
    stored = {key: part.read_all() for key, part in saved.stored.items()}
    assert stored == {f"sha256:{sha(data)}": data for data in LAYERS.values()}


def test_other_bytes_than_were_built_are_refused(tmp_path: Path) -> None:
    path = docker_archive(tmp_path, app=b"rotten")
    with pytest.raises(BuildError, match="gave other bytes for layer"):
        read_archive(path, "classic", compress_in=tmp_path, stop=Stop())


def test_the_containerd_store_gives_its_blobs_as_they_are(tmp_path: Path) -> None:
    saved = read_archive(oci_archive(tmp_path), "containerd", compress_in=tmp_path, stop=Stop())
    assert saved.image.config == CONFIG
    assert [gzip.decompress(b) for b in whole(saved)] == [
        LAYERS["base"],
        LAYERS["app"],
        LAYERS["base"],
    ]
    for layer, packed in zip(saved.image.layers, whole(saved), strict=True):
        assert layer.descriptor.digest == f"sha256:{sha(packed)}"
        assert layer.descriptor.media_type == "application/vnd.oci.image.layer.v1.tar+gzip"
    assert [p.name for p in tmp_path.iterdir()] == ["app.tar"]


def test_a_layout_without_an_image_is_named(tmp_path: Path) -> None:
    path = archive(tmp_path, {"index.json": b'{"manifests": []}'})
    with pytest.raises(BuildError, match="holds no image manifest"):
        read_archive(path, "containerd", compress_in=None, stop=Stop())
