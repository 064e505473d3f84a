"""A registry of a test's own: it may be killed, and its storage looked into."""

import hashlib
import json
import shutil
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from testbed import packages, registry_tokens, web
from testbed.part import TestbedError
from testbed.registry_tokens import Settings

_SETTINGS = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {folder}/data}}
  delete: {{enabled: true}}
http:
  addr: {host}
  secret: one that outlives a restart
"""
_AUTH = """\
auth:
  token:
    realm: http://{realm}/oauth2/token
    service: {host}
    issuer: {issuer}
    rootcertbundle: {certificate}
"""
USERNAME, PASSWORD = "modelferry", "of one test only"


class OwnRegistry:
    def __init__(self, folder: Path) -> None:
        self.host = f"127.0.0.1:{_free_port()}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.settings = _SETTINGS.format(folder=folder, host=self.host)

    def start(self, *, wait: bool = True) -> None:
        file = self._folder / "registry.yml"
        file.write_text(self.settings)
        # The registry never outlives the test, however that ends.
        tied = ["setpriv", "--pdeathsig", "KILL", "--", "docker-registry", "serve", file]
        with (self._folder / "registry.log").open("ab") as log:
            self._process = subprocess.Popen(tied, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while wait and not web.answers(f"http://{self.host}/v2/"):
            if time.monotonic() > deadline:
                raise TestbedError(f"no registry at {self.host}: {self._folder}/registry.log")
            time.sleep(0.05)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def restart_after(self, seconds: float) -> None:
        """Killed at once. The new one is tied to the thread that starts it: that one waits."""
        self.kill()

        def start_and_stay() -> None:
            time.sleep(seconds)
            self.start(wait=False)
            if self._process:
                self._process.wait()

        threading.Thread(target=start_and_stay, daemon=True).start()

    def blob_digest(self, digest: str) -> str | None:
        """Of the bytes that are really stored under this one; None when there are none."""
        data = self._blob(digest) / "data"
        if not data.exists():
            return None
        with data.open("rb") as stored:
            return f"sha256:{hashlib.file_digest(stored, 'sha256').hexdigest()}"

    def tags(self, repository: str) -> list[str]:
        folder = self._repository(repository) / "_manifests" / "tags"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def broken_blobs(self, repository: str, tag: str) -> list[str]:
        """What a tag names, the manifest included, that is not there or has other bytes."""
        manifest = self._tagged(repository, tag)
        if self.blob_digest(manifest) != manifest:
            return [manifest]
        image = self._image(manifest)
        blobs = [descriptor["digest"] for descriptor in (image["config"], *image["layers"])]
        return [blob for blob in blobs if self.blob_digest(blob) != blob]

    def sha256_in_image(self, repository: str, tag: str, path: str) -> str | None:
        """Of the file that a container of this image has at `path`."""
        found = [
            digest
            for layer in self._image(self._tagged(repository, tag))["layers"]
            for digest in _files(self._blob(layer["digest"]) / "data", path)
        ]
        return found[-1] if found else None

    def _tagged(self, repository: str, tag: str) -> str:
        link = self._repository(repository) / "_manifests/tags" / tag / "current/link"
        return link.read_text().strip()

    def _image(self, manifest: str) -> dict[str, Any]:
        return json.loads((self._blob(manifest) / "data").read_bytes())

    def stored_bytes(self) -> int:
        blobs = self._folder / "data/docker/registry/v2/blobs"
        return sum(file.stat().st_size for file in blobs.rglob("data"))

    def forget(self) -> None:
        """All content; the process goes on."""
        shutil.rmtree(self._folder / "data", ignore_errors=True)

    def _repository(self, name: str) -> Path:
        return self._folder / "data/docker/registry/v2/repositories" / name

    def _blob(self, digest: str) -> Path:
        value = digest.removeprefix("sha256:")
        return self._folder / "data/docker/registry/v2/blobs/sha256" / value[:2] / value


@contextmanager
def own_registry(folder: Path) -> Iterator[OwnRegistry]:
    """Open to all."""
    packages.ensure("docker-registry")
    made = OwnRegistry(folder)
    made.start()
    try:
        yield made
    finally:
        made.kill()


@contextmanager
def own_registry_with_tokens(folder: Path, *, access_s: int) -> Iterator[OwnRegistry]:
    """Its tokens are said to live for five minutes, and live `access_s`, and the minute that the
    registry grants to clocks that differ."""
    packages.ensure("docker-registry")
    made = OwnRegistry(folder)
    key, certificate = folder / "tokens.key", folder / "tokens.crt"
    registry_tokens.make_key(key, certificate)
    settings = Settings(
        port=0,
        service=made.host,
        username=USERNAME,
        password=PASSWORD,
        key=str(key),
        certificate=str(certificate),
    )
    told = registry_tokens.handler(settings, access_s=access_s)
    handler = type("QuietHandler", (told,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as tokens:
        thread = threading.Thread(target=tokens.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        made.settings += _AUTH.format(
            realm=f"127.0.0.1:{tokens.server_port}",
            host=made.host,
            issuer=registry_tokens.ISSUER,
            certificate=certificate,
        )
        try:
            made.start()
            yield made
        finally:
            made.kill()
            tokens.shutdown()
            thread.join()


def _files(layer: Path, path: str) -> Iterator[str]:
    """The SHA-256 of the file at `path`, if the layer has it."""
    with tarfile.open(layer) as archive:
        for member in archive:
            if member.isfile() and f"/{member.name.removeprefix('/')}" == path:
                content = archive.extractfile(member)
                assert content
                yield hashlib.file_digest(content, "sha256").hexdigest()  # pyright: ignore[reportArgumentType]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
