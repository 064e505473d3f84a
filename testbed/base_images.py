"""The images that Dockerfiles here start from, made from Debian packages: nothing is pulled."""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path

from testbed import debian_tree, engine, layout, mirror
from testbed.engine import docker

FLASK_IMAGE = "modelferry-testbed/python-flask:trixie"
RUNNER_IMAGE = "modelferry-testbed/runner:trixie"
_TREE_IMAGE = "modelferry-testbed/base:trixie"
_DOCKERFILES = {
    FLASK_IMAGE: "flask.Dockerfile",
    RUNNER_IMAGE: "runner.Dockerfile",
    "python:3.13-slim-trixie": "python.Dockerfile",  # the FROM of the action's own Dockerfile
}


class BaseImages:
    name = "base-images"

    def prepare(self) -> None:
        debian_tree.ensure()

    def start(self) -> None:
        tree = debian_tree.ensure()
        for name in (_TREE_IMAGE, *_DOCKERFILES):
            _provide(name, tree)

    def stop(self) -> None:
        """An engine of ours keeps its images; somebody else's is left without them."""
        if not engine.is_ours() and engine.Engine().running():
            for name, image_id in _records("provided").items():
                if _id_of(name) == image_id:
                    docker("rmi", "--force", name)

    def running(self) -> bool:
        return all(_id_of(name) for name in (_TREE_IMAGE, *_DOCKERFILES))

    def env(self) -> dict[str, str]:
        return {"TESTBED_BASE_IMAGE": FLASK_IMAGE}


def _provide(name: str, tree: Path) -> None:
    """See that engine and mirror have the image: as it is, from the mirror, or made anew."""
    present = _id_of(name)
    ours = present is not None and present == _records("provided").get(name)
    if present and not ours and not engine.is_ours():
        _mirror(name, present)  # somebody's own image under that name: it stays
        return
    recipe = _recipe(name, tree)
    mirrored = _records("mirrored").get(name) == recipe
    if mirrored and ours:
        return
    if mirrored:
        _pull_from_mirror(name)
    else:
        _make(name, tree)
        _mirror(name, recipe)
    _record("provided", name, _id_of(name) or "")


def _recipe(name: str, tree: Path) -> str:
    """Changes when the image made anew would be another."""
    dockerfile = _dockerfile(name).read_text() if name in _DOCKERFILES else ""
    return hashlib.sha256((tree.stem + dockerfile).encode()).hexdigest()[:12]


def _make(name: str, tree: Path) -> None:
    if name == _TREE_IMAGE:
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        docker("import", "--change", f"ENV PATH={path}", "--change", 'CMD ["bash"]', tree, name)
        return
    with tempfile.TemporaryDirectory() as context:
        shutil.copy(_dockerfile(name), Path(context) / "Dockerfile")
        # The classic builder is in every engine and needs no plugin yet.
        docker("build", "--tag", name, context, env={"DOCKER_BUILDKIT": "0"})


def _dockerfile(name: str) -> Path:
    return Path(__file__).parent / "images" / _DOCKERFILES[name]


def _mirror(name: str, recipe: str) -> None:
    if _records("mirrored").get(name) != recipe:
        mirrored = _mirror_name(name)
        docker("tag", name, mirrored)
        docker("push", "--quiet", mirrored)
        docker("rmi", mirrored)
        _record("mirrored", name, recipe)


def _pull_from_mirror(name: str) -> None:
    mirrored = _mirror_name(name)
    docker("pull", "--quiet", mirrored)
    docker("tag", mirrored, name)
    docker("rmi", mirrored)


def _mirror_name(name: str) -> str:
    return f"{mirror.address()}/{name if '/' in name else f'library/{name}'}"


def _id_of(name: str) -> str | None:
    if not engine.answers("image", "inspect", name):
        return None
    return docker("image", "inspect", "--format", "{{.Id}}", name).strip()


def _records(kind: str) -> dict[str, str]:
    """`mirrored`: name -> recipe; `provided`: name -> image ID in the engine."""
    path = layout.cache_dir() / "images" / f"{kind}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _record(kind: str, name: str, value: str) -> None:
    path = layout.cache_dir() / "images" / f"{kind}.json"
    layout.write_private(path, json.dumps({**_records(kind), name: value}, indent=1))
