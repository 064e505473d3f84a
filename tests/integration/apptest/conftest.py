"""One small image of an app that can fail in every way, and the stage run on it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4
from zipfile import ZipFile

import pytest
from docker.models.containers import Container

from modelferry import engine as engines
from modelferry.apptest.network import RUN_LABEL
from modelferry.apptest.spec import AppTests
from modelferry.artifacts import Image, TestedImage
from modelferry.checks import parse_checks
from modelferry.engine import Engine
from modelferry.stages.test import run_tests
from modelferry.values import Digest

OPTIONS = ("build_target", "build_context", "environ")
APP = Path(__file__).parent / "app"
ROOT = Path(__file__).parents[3]
PLAIN = AppTests(
    unit_tests=None,
    port=None,
    health_path="/",
    start_timeout_s=20.0,
    env=(),
    checks=(),
    integration_tests=None,
    test_requirements=None,
    test_target=None,
)


@pytest.fixture(scope="session")
def engine(testbed: dict[str, str]) -> Engine:
    return engines.connect()


@pytest.fixture(scope="session")
def build(engine: Engine, testbed: dict[str, str]) -> Iterator[Callable[[str], str]]:
    """A Dockerfile stage of the app → image id."""
    made: dict[str, str] = {}
    tag = uuid4().hex[:8]

    def build_stage(stage: str) -> str:
        if stage not in made:
            image, _ = engine.client.images.build(
                path=str(APP),
                target=stage,
                buildargs={"BASE": testbed["TESTBED_BASE_IMAGE"]},
                tag=f"modelferry-test/{stage}:{tag}",
                rm=True,
            )
            made[stage] = str(image.id)
        return made[stage]

    yield build_stage
    for stage in made:
        engine.client.images.remove(f"modelferry-test/{stage}:{tag}")


@pytest.fixture(scope="session")
def image(engine: Engine, build: Callable[[str], str]) -> Image:
    return as_image(engine, build("app"))


def as_image(engine: Engine, image_id: str) -> Image:
    """What the stage reads of an Image: what the engine calls it and its config."""
    config = engine.client.images.get(image_id).attrs["Config"]
    return Image(
        config=json.dumps({"config": config}).encode(),
        manifest=b"",
        manifest_media_type="",
        digest=Digest(image_id),
        engine_id=image_id,
        layers=(),
    )


class Ferry:
    """The stage in a workspace of its own; after each test nothing of its run may be left."""

    def __init__(self, engine: Engine, image: Image, folder: Path, run_label: str) -> None:
        self.engine, self.image, self.run_label = engine, image, run_label
        self.workspace, self.temp = folder / "workspace", folder / "temp"
        self.workspace.mkdir()
        self.temp.mkdir()

    def write(self, name: str, text: str) -> Path:
        file = self.workspace / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def test(self, *, checks: str = "", mode: str = "good", **wanted: object) -> TestedImage:
        options = {name: wanted.pop(name) for name in OPTIONS if name in wanted}
        parsed, faults = parse_checks(checks)
        assert not faults
        tests = replace(PLAIN, checks=parsed, env=(("MODE", mode),), **wanted)
        return run_tests(
            tests,
            self.image,
            engine=self.engine,
            workspace=self.workspace,
            temp=self.temp,
            run_label=self.run_label,
            **options,
        )

    def left(self) -> list[str]:
        chosen = {"label": f"{RUN_LABEL}={self.run_label}"}
        client = self.engine.client
        return [
            *(f"container {item.name}" for item in client.containers.list(True, filters=chosen)),
            *(f"network {item.name}" for item in client.networks.list(filters=chosen)),
            *(f"volume {item.name}" for item in client.volumes.list(filters=chosen)),
            *(f"file {item}" for item in self.temp.iterdir()),
        ]


@pytest.fixture
def ferry(engine: Engine, image: Image, tmp_path: Path, unique: str) -> Iterator[Ferry]:
    ferry = Ferry(engine, image, tmp_path, unique)
    yield ferry
    assert ferry.left() == []


@pytest.fixture(scope="session")
def action_image(engine: Engine) -> str:
    """The image of our own Dockerfile, as this checkout makes it; it stays, as the next one's
    cache."""
    image, _ = engine.client.images.build(
        path=str(ROOT), tag="modelferry-test/action:latest", rm=True
    )
    return str(image.id)


@pytest.fixture
def start(
    engine: Engine, unique: str, testbed: dict[str, str]
) -> Iterator[Callable[..., Container]]:
    """A container made with the given options, gone after the test."""
    made: list[Container] = []

    def start_container(image: str, command: list[str], **options: object) -> Container:
        name = f"{unique}-{len(made)}"
        container = engine.client.containers.create(image, command, name=name, **options)
        made.append(container)
        return container

    yield start_container
    for container in made:
        container.remove(force=True, v=True)


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one wheel, made by hand: ferrytoy 1.0."""
    folder = tmp_path_factory.mktemp("wheels")
    facts = "ferrytoy-1.0.dist-info"
    with ZipFile(folder / "ferrytoy-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("ferrytoy.py", "TOY = True\n")
        wheel.writestr(f"{facts}/METADATA", "Metadata-Version: 2.1\nName: ferrytoy\nVersion: 1.0\n")
        wheel.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{facts}/RECORD", "")
    return folder
