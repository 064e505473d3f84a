"""The two usual chains: download, `docker buildx build`, `docker push`; and BuildKit alone, pushing
uncompressed layers. The model is in the build context, as in most repositories that ship one."""

from __future__ import annotations

import shutil
import time
import urllib.error
import urllib.request

from bench.cloud import Cloud
from bench.peers.downloads import Settings, download
from bench.product import APP
from bench.storage import Place
from testbed.commands import run

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_START_S = 60


class UsualImage:
    """A checkout of the app and its image's name. Methods are what the workflow's steps do."""

    def __init__(self, cloud: Cloud, name: str, place: Place | None, settings: Settings) -> None:
        self._cloud, self._place, self._settings = cloud, place, settings
        self.repository = f"bench/{name}"
        self.image = f"{cloud.registry}/{self.repository}:latest"
        self.folder = cloud.folder / "work" / name
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(APP, self.folder)
        self._commits = 0

    def commit(self) -> None:
        self._commits += 1
        code = self.folder / "app.py"
        code.write_text(f"# commit {self._commits} of {time.time_ns()}\n{code.read_text()}")

    def change_model(self, place: Place) -> None:
        self._place = place

    def fetch(self) -> None:
        if self._place:
            shutil.rmtree(self.folder / "model", ignore_errors=True)
            download(self._place, self._settings, self.folder / "model")

    def build(self, *options: str) -> None:
        base = ("--build-arg", f"BASE={self._cloud.base}", "--builder", "default")
        self._cloud.docker("buildx", "build", *base, "--tag", self.image, *options, self.folder)

    def test(self) -> None:
        """The app is started and answers."""
        published = ("--publish", "127.0.0.1:0:8080")
        container = self._cloud.docker("run", "--detach", *published, self.image).strip()
        try:
            port = self._cloud.docker("port", container, "8080/tcp").strip()
            _wait_for(f"http://{port}/")
        finally:
            self._cloud.docker("rm", "--force", container)

    def push(self) -> None:
        self._cloud.docker("push", "--quiet", self.image)

    def build_and_push_uncompressed(self) -> None:
        """By BuildKit, which takes layers that are compressed already as they are."""
        exporter = f"type=image,name={self.image},push=true,compression=uncompressed"
        words = self._cloud.buildx(self.folder, "--output", f"{exporter},oci-mediatypes=true")
        run(*words, env=self._cloud.client_env())


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            _DIRECT.open(url, timeout=5).close()
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
