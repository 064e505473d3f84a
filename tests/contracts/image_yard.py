"""Apps and models made for one test, built by the product on one engine, and looked into there."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from modelferry.artifacts import (
    FetchedFile,
    Image,
    LocalFile,
    Model,
    ModelFile,
    ResolvedModel,
)
from modelferry.engine import Engine
from modelferry.image.run_images import RunImages
from modelferry.image.spec import BuildSpec
from modelferry.last_release.destination import Destination
from modelferry.sources.copies import Copies
from modelferry.sources.open_model import OpenModel
from modelferry.stages.app_build import FindBase
from modelferry.stages.build import build_image
from tests.build_spec import plain_spec

MADE_BY = "org.example.made-by"

# The base image's tools without the rest: each build here sends its app through `docker save`.
SMALL = """\
ARG BASE
FROM $BASE AS full
RUN mkdir -p /small/usr/lib /small/usr/lib64 /small/usr/bin /small/tmp /small/var /small/run \\
  && cd /small && ln -s usr/bin usr/lib usr/lib64 . && ln -s /run var/run && chmod 1777 tmp \\
  && cd /usr/bin && tools="sh cat cut realpath sha256sum stat" \\
  && cp --dereference --parents $(for t in $tools; do echo /usr/bin/$t; done) \\
    $(ldd $tools | grep --only-matching '/[^ ]*[0-9] ' | sort --unique) /small \\
  && install -d -m 700 -o 1234 /small/home/app && install -d -m 2775 -g 1234 /small/srv/team
FROM scratch
COPY --from=full /small /
"""
DOCKERFILE = f"""\
{SMALL}
COPY app.txt /srv/app.txt
CMD ["cat", "/srv/app.txt"]
"""


class Models:
    """Made for a test, and read from where they were made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.local: dict[ModelFile, Path] = {}

    def model(self, *paths: str, size: int = 100_000) -> Model:
        return self.of((path, size) for path in paths)

    def of(self, sizes: Iterable[tuple[str, int]]) -> Model:
        files = tuple(self._file(PurePosixPath(path), size) for path, size in sizes)
        resolved = ResolvedModel(
            files=tuple(fetched.file for fetched in files), version="v7", reasons=()
        )
        return Model(resolved=resolved, files=files)

    def _file(self, path: PurePosixPath, size: int) -> FetchedFile:
        folder = self.folder / "fetched" / os.urandom(4).hex()
        folder.mkdir(parents=True)
        local = folder / path.name
        local.write_bytes(os.urandom(size))
        local.chmod(0o600)
        file = ModelFile(
            uri=f"azblob://store/models/{path.name}",
            image_path=path,
            size_bytes=size,
            etag='"1"',
            version_id=None,
            modified=None,
            source_line=1,
        )
        self.local[file] = local
        return FetchedFile(file=file, sha256=hashlib.sha256(local.read_bytes()).hexdigest())

    def in_workspace(self, model: Model, *, mark: str) -> Model:
        """The same files as those of a checkout."""
        files: list[FetchedFile] = []
        for each in model.files:
            file = replace(each.file, uri=f"file:{each.file.image_path.name}", etag=f'"{mark}"')
            self.local[file] = self.local[each.file]
            files.append(replace(each, file=file))
        resolved = replace(model.resolved, files=tuple(each.file for each in files))
        return Model(resolved=resolved, files=tuple(files))

    def copies(self, model: Model) -> tuple[LocalFile, ...]:
        files = model.resolved.files
        return tuple(LocalFile(file=file, path=self.local[file]) for file in files)

    def open(self, model: Model, *, in_context: bool = False) -> OpenModel:
        copies = self.copies(model)
        return OpenModel(
            model.resolved,
            lambda _: Copies(copies),
            resolve=lambda: model.resolved,
            on_disk=copies if in_context else (),
        )


class Yard(Models):
    def __init__(self, engine: Engine, base: str, folder: Path, name: str) -> None:
        super().__init__(folder)
        self.engine, self.base, self.name = engine, base, name
        self.context = folder / "context"
        self.context.mkdir(parents=True)
        self.images = RunImages(engine=engine, key=name, run_label=name)
        self.write("Dockerfile", DOCKERFILE)
        self.write("app.txt", f"{name} {os.urandom(8).hex()}")

    def write(self, name: str, text: str) -> None:
        (self.context / name).write_text(text)

    def build(
        self,
        model: Model | None = None,
        *,
        destination: Destination | None = None,
        load: bool = True,
        in_context: bool = False,
        images: RunImages | None = None,
        base: FindBase = lambda _, __: None,
        annotations: tuple[tuple[str, str], ...] | None = None,
        **chosen: object,
    ) -> Image:
        temp = self.folder / f"temp-{os.urandom(4).hex()}"
        temp.mkdir()
        return build_image(
            replace(self.spec(), **chosen),
            self.open(model, in_context=in_context) if model else None,
            images=images or self.images,
            annotations=(("org.example.run", self.name),) if annotations is None else annotations,
            base=base,
            load=load,
            destination=destination,
            temp=temp,
            workspace=self.context,
        ).image

    def spec(self) -> BuildSpec:
        return plain_spec(
            self.context,
            kept_as=self.name,
            build_args=(("BASE", self.base),),
            labels=((MADE_BY, self.name), ("org.example.kind", "test")),
        )

    def run(self, image: str, *command: str) -> str:
        return run_in(self.engine, image, *command)

    def forget(self) -> None:
        """The images, and the build steps whose words name this yard, with all that is upon them:
        others use this engine too."""
        self._remove_images()
        api = self.engine.client.api
        forgotten: set[str] = set()  # a step goes only after those that were made upon it
        deadline = time.monotonic() + 60
        while made := [
            record["ID"]
            for record in api.df()["BuildCache"]
            if self.name in record.get("Description", "") or record.get("Parent") in forgotten
        ]:
            for record in made:
                forgotten.add(record)
                api.prune_builds(filters={"id": record}, all=True)
            assert time.monotonic() < deadline, made
        assert forgotten

    def close(self) -> None:
        """Remove the images; what the product itself has to remove must be gone."""
        self._remove_images()
        mark = {"label": f"modelferry.run={self.name}"}
        assert self.engine.client.containers.list(all=True, filters=mark) == []

    def _remove_images(self) -> None:
        self.images.release()
        client = self.engine.client
        for image in client.images.list(filters={"label": f"{MADE_BY}={self.name}"}):
            client.images.remove(image.id, force=True)


def run_in(engine: Engine, image: str, *command: str) -> str:
    """What it prints. Asked for again where there is nothing: an engine gives the output of a
    container that has ended two seconds to arrive, which may be too few on a busy machine."""
    outputs = (_run_once(engine, image, *command) for _ in range(3))
    return next(filter(None, outputs), "")


def _run_once(engine: Engine, image: str, *command: str) -> str:
    """Read once it has ended: an old engine may lose it to one who follows."""
    container = engine.client.containers.create(image, list(command) or None, network_mode="none")
    try:
        container.start()
        status = container.wait()["StatusCode"]
        output = container.logs().decode().strip()
    finally:
        container.remove(force=True)
    assert status == 0, output
    return output


def sha256_in(engine: Engine, image: str, model: Model) -> dict[str, str]:
    """By path, as a container of the image reads them."""
    paths = [str(fetched.file.image_path) for fetched in model.files]
    lines = run_in(engine, image, "sha256sum", *paths).splitlines()
    return {path: digest for digest, path in (line.split(maxsplit=1) for line in lines)}


def sha256_of(model: Model) -> dict[str, str]:
    return {str(fetched.file.image_path): fetched.sha256 for fetched in model.files}
