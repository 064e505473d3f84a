"""Files of the engine's own, wherever it runs: bound, to be read only, into a container that is
made and never started, and read through the archive API."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelferry.engine import Engine
from modelferry.errors import BuildError
from modelferry.image.workers import Stop

# What reading a store whose inner form is not promised may end in.
UNEXPECTED = (BuildError, OSError, EOFError, ValueError, KeyError, TypeError, tarfile.TarError)

_ANSWER_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFiles:
    engine: Engine
    container: str

    def read(self, path: str) -> bytes:
        """A small file; KeyError where there is none."""
        with self._archive(path) as response:
            archive = io.BytesIO(b"".join(self.engine.body(response)))
        with tarfile.open(fileobj=archive, mode="r:") as tar:
            member = tar.next()
            content = tar.extractfile(member) if member else None
            if content is None:
                raise KeyError(path)
            return content.read()

    def fetch(self, path: str, target: Path, stop: Stop) -> None:
        """A file or a folder, with all that is in it, as a tar."""
        with self._archive(path) as response, target.open("xb") as file:
            for chunk in self.engine.body(response):
                stop.check()
                file.write(chunk)

    def _archive(self, path: str) -> Any:
        response = self.engine.request(
            "GET",
            f"/containers/{self.container}/archive",
            params={"path": path},
            stream=True,
            answer_s=_ANSWER_S,
        )
        if response.status_code == 404:
            raise KeyError(path)
        self.engine.check(response, f"read its own {path}")
        return response


@contextmanager
def engine_files(
    engine: Engine, image_id: str, folders: Mapping[str, str], run_label: str
) -> Iterator[EngineFiles]:
    """`folders`: where each of the engine's is seen, by its path there. DockerException or
    BuildError where the engine does not do this. `image_id`: any image that it has."""
    api = engine.client.api
    container: str = api.create_container(
        image_id,
        command=["/modelferry-never-starts-this"],
        entrypoint=[],
        labels={"modelferry.run": run_label},
        host_config={
            "NetworkMode": "none",
            "Mounts": [_mount(source, seen_at) for source, seen_at in folders.items()],
        },
    )["Id"]
    try:
        yield EngineFiles(engine=engine, container=container)
    finally:
        api.remove_container(container, v=True, force=True)


def hex_of(digest: str) -> str:
    return digest.removeprefix("sha256:")


def check_digest(wanted: str, found_hex: str) -> None:
    """ValueError where they differ."""
    if hex_of(wanted) != found_hex:
        raise ValueError(f"{wanted} is kept with other bytes, sha256:{found_hex}")


def _mount(source: str, target: str) -> dict[str, Any]:
    """Without what is mounted below: other containers' file systems."""
    return {
        "Type": "bind",
        "Source": source,
        "Target": target,
        "ReadOnly": True,
        "BindOptions": {"NonRecursive": True},
    }
