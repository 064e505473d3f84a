"""A testbed of the benchmark's own: the usual parts, whose stores it may empty between rounds."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import data
from bench.fast_blob import FastBlob
from testbed import base_images, gotools, layout, mirror, registry
from testbed.blob import Blob
from testbed.buildkit import BuildKit
from testbed.commands import run
from testbed.engine import Engine
from testbed.mirror import Mirror
from testbed.part import Part
from testbed.registry import Registry
from testbed.s3 import S3
from testbed.toxiproxy import Toxiproxy

_SHARED = ("tools", "npm")  # what the usual testbed has built
_BUILDER = "bench"


class Cloud:
    """Addresses of the running parts, and how to make each new again."""

    def __init__(self) -> None:
        self.folder = layout.cache_dir()
        self.blocks = self.folder / "blocks"
        self.fast_blob = FastBlob(self.blocks)
        self._parts: tuple[Part, ...] = (
            *(Mirror(), Registry(), Blob(), S3(), Engine(), BuildKit()),
            *(Toxiproxy(), self.fast_blob),
        )
        self.env: dict[str, str] = {}
        self.docker_config = self.folder / "docker-config"

    @contextmanager
    def up(self) -> Iterator[Cloud]:
        try:
            data.write_blocks(self.blocks)
            for part in self._parts:
                part.prepare()
                part.start()
                self.env |= part.env()
            self._log_in()
            self.pull_base()
            self._make_builder()
            yield self
        finally:
            for part in reversed(self._parts):
                part.stop()

    @property
    def base(self) -> str:
        """In a registry of its own, as users' are: not the one that images are pushed to."""
        return f"{mirror.address()}/{base_images.FLASK_IMAGE}"

    @property
    def registry(self) -> str:
        return registry.access().host

    def docker(self, *arguments: str | Path) -> str:
        return run("docker", *arguments, env=self.client_env())

    def client_env(self) -> dict[str, str]:
        """For docker and buildx as a user runs them, who has logged in to the registry."""
        return {"DOCKER_CONFIG": str(self.docker_config), "DOCKER_BUILDKIT": "1"}

    def new_registry(self) -> None:
        """As if nothing had ever been pushed."""
        Registry().stop()
        Registry().start()

    def cold_engine(self) -> None:
        """As a fresh machine's that has pulled the base image and nothing else."""
        self.pull_base()
        images = self.docker("images", "--all", "--quiet", "--no-trunc").split()
        base = self.docker("image", "inspect", "--format", "{{.Id}}", self.base).strip()
        if others := [image for image in dict.fromkeys(images) if image != base]:
            subprocess.run(
                ["docker", "rmi", "--force", *others],
                env=self._environment(),
                capture_output=True,
                check=False,  # an image goes with its parent
            )
        self.docker("builder", "prune", "--all", "--force")

    def pull_base(self) -> None:
        self.docker("pull", "--quiet", self.base)

    def new_engine(self) -> None:
        """With an empty store."""
        Engine().stop()
        shutil.rmtree(self.folder / "engine")
        Engine().start()

    def cold_buildkit(self) -> None:
        """As `cold_engine`: the base image is there, unpacked."""
        warm_up = self.folder / "work" / "warm-up"
        warm_up.mkdir(parents=True, exist_ok=True)
        (warm_up / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nRUN true\n")
        run(
            "docker",
            "buildx",
            "prune",
            "--builder",
            _BUILDER,
            "--all",
            "--force",
            env=self.client_env(),
        )
        run(*self.buildx(warm_up, "--output", "type=cacheonly"), env=self.client_env())

    def buildx(self, context: Path, *options: str) -> tuple[str, ...]:
        words = ("docker", "buildx", "build", "--builder", _BUILDER, "--progress", "plain")
        return (*words, "--build-arg", f"BASE={self.base}", *options, str(context))

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.client_env()}

    def _log_in(self) -> None:
        ours = registry.access()
        login = base64.b64encode(f"{ours.username}:{ours.password}".encode()).decode()
        self.docker_config.mkdir(exist_ok=True)
        settings = json.dumps({"auths": {ours.host: {"auth": login}}})
        layout.write_private(self.docker_config / "config.json", settings)

    def _make_builder(self) -> None:
        create = ("docker", "buildx", "create", "--name", _BUILDER, "--driver", "remote")
        run(*create, self.env["TESTBED_BUILDKIT"], env=self.client_env())


def share_what_is_built(usual: Path, ours: Path) -> None:
    """The usual testbed's tools and base images, in a folder where all else is new."""
    shutil.rmtree(ours, ignore_errors=True)
    (ours / "images").mkdir(parents=True)
    for name in _SHARED:
        (ours / name).symlink_to(usual / name)
    (ours / "images" / "registry").symlink_to(usual / "images" / "registry")


def buildkitd_version() -> str:
    return gotools.TOOLS["buildkitd"].version
