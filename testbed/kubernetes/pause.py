"""The image of the process that keeps a pod's namespaces, made without any registry."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

from testbed.commands import run
from testbed.kubernetes import settings
from testbed.kubernetes.programs import Program

IMAGE = "modelferry.test/pause:1"
PROGRAM = Program(name="pause")
_OCI = "application/vnd.oci.image"


def write_archive() -> Path:
    path = settings.config("pause.tar")
    path.write_bytes(image(PROGRAM.path().read_bytes(), run("go", "env", "GOARCH").strip()))
    return path


def image(binary: bytes, architecture: str) -> bytes:
    """An OCI layout in a tar file, as `ctr images import` reads it."""
    layer = _tar({"pause": binary})
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    config_blob = json.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": _descriptor("config.v1+json", config_blob),
        "layers": [_descriptor("layer.v1.tar", layer)],
    }
    manifest_blob = json.dumps(manifest).encode()
    entry = _descriptor("manifest.v1+json", manifest_blob)
    index = {
        "schemaVersion": 2,
        "manifests": [{**entry, "annotations": {"io.containerd.image.name": IMAGE}}],
    }
    blobs = {_blob_path(blob): blob for blob in (layer, config_blob, manifest_blob)}
    return _tar(
        {
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
            "index.json": json.dumps(index).encode(),
            **blobs,
        }
    )


def _descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": f"{_OCI}.{media_type}", "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def _blob_path(blob: bytes) -> str:
    return "blobs/" + _digest(blob).replace(":", "/")


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o755
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
