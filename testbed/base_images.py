"""The images that Dockerfiles here start from, made from Debian packages: nothing is pulled."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from testbed import debian_tree, engine, gotools, layout, mirror
from testbed.commands import succeeds
from testbed.engine import docker

FLASK_IMAGE = "modelferry-testbed/python-flask:trixie"
RUNNER_IMAGE = "modelferry-testbed/runner:trixie"
_TREE_IMAGE = "modelferry-testbed/base:trixie"
_PYTHON_IMAGE = "python:3.13-slim-trixie"  # the FROM of the action's own Dockerfile
_DOCKERFILES = Path(__file__).parent / "images"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """How an image is made, and a text that changes when the result would."""

    name: str
    recipe: str
    make: Callable[[], object]


class BaseImages:
    name = "base-images"

    def prepare(self) -> None:
        debian_tree.ensure()
        gotools.ensure("buildx")

    def start(self) -> None:
        for image in _images():
            _provide(image)

    def stop(self) -> None:
        """An engine of ours keeps its images; somebody else's is left without them."""
        if not engine.is_ours() and engine.Engine().running():
            for name, image_id in _records("provided").items():
                if _id_of(name) == image_id:
                    docker("rmi", "--force", name)

    def running(self) -> bool:
        provided = _records("provided")
        return all(_id_of(image.name) == provided.get(image.name) for image in _images())

    def env(self) -> dict[str, str]:
        return {"TESTBED_BASE_IMAGE": FLASK_IMAGE}


def _images() -> tuple[BaseImage, ...]:
    tree = debian_tree.ensure()
    buildx = gotools.path("buildx")
    return (
        BaseImage(name=_TREE_IMAGE, recipe=tree.stem, make=lambda: _import(tree)),
        _derived(FLASK_IMAGE, "flask", tree.stem),
        _derived(_PYTHON_IMAGE, "python", tree.stem),
        _derived(RUNNER_IMAGE, "runner", tree.stem + buildx.parent.name, buildx),
    )


def _derived(name: str, dockerfile: str, inputs: str, *files: Path) -> BaseImage:
    file = _DOCKERFILES / f"{dockerfile}.Dockerfile"
    return BaseImage(
        name=name,
        recipe=hashlib.sha256((inputs + file.read_text()).encode()).hexdigest()[:12],
        make=lambda: _build(name, file, files),
    )


def _provide(image: BaseImage) -> None:
    """See that the engine has the image: as it is, from the mirror, or made anew."""
    present = _id_of(image.name)
    if not engine.is_ours() and present and present != _records("provided").get(image.name):
        return  # somebody's own image under that name
    mirrored = _records("mirrored").get(image.name) == image.recipe
    if mirrored and present and present == _records("provided").get(image.name):
        return
    if mirrored:
        _pull_from_mirror(image.name)
    else:
        image.make()
        _push_to_mirror(image.name)
        _record("mirrored", image.name, image.recipe)
    _record("provided", image.name, _id_of(image.name) or "")


def _import(tree: Path) -> None:
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    docker("import", "--change", f"ENV PATH={path}", "--change", 'CMD ["bash"]', tree, _TREE_IMAGE)


def _build(name: str, dockerfile: Path, files: tuple[Path, ...]) -> None:
    with tempfile.TemporaryDirectory() as context:
        shutil.copy(dockerfile, Path(context) / "Dockerfile")
        for file in files:
            shutil.copy(file, context)
        # The classic builder is in every engine and needs no plugin yet.
        docker("build", "--tag", name, context, env={"DOCKER_BUILDKIT": "0"})


def _push_to_mirror(name: str) -> None:
    mirrored = _mirror_name(name)
    docker("tag", name, mirrored)
    docker("push", "--quiet", mirrored)
    docker("rmi", mirrored)


def _pull_from_mirror(name: str) -> None:
    mirrored = _mirror_name(name)
    docker("pull", "--quiet", mirrored)
    docker("tag", mirrored, name)
    docker("rmi", mirrored)


def _mirror_name(name: str) -> str:
    return f"{mirror.address()}/{name if '/' in name else f'library/{name}'}"


def _id_of(name: str) -> str | None:
    if not succeeds("docker", "image", "inspect", name, env=engine.Engine().env()):
        return None
    return docker("image", "inspect", "--format", "{{.Id}}", name).strip()


def _records(kind: str) -> dict[str, str]:
    """`mirrored`: name -> recipe; `provided`: name -> image ID in the engine."""
    path = layout.cache_dir() / "images" / f"{kind}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _record(kind: str, name: str, value: str) -> None:
    path = layout.cache_dir() / "images" / f"{kind}.json"
    layout.write_private(path, json.dumps({**_records(kind), name: value}, indent=1))
