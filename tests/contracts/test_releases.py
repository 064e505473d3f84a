"""What the second release costs: a code commit moves code, a new model the model, nothing nothing.

On every engine users have, built by its own BuildKit and by one elsewhere.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from modelferry.artifacts import Model
from modelferry.engine import Engine
from modelferry.image.model_record import FILES
from modelferry.image.recipe.base import BaseImage
from modelferry.last_release.changed import BuildKey
from modelferry.plan.spec import PushPlan
from modelferry.registry.client import Registry
from modelferry.values import Digest
from tests.contracts.conftest import Connect, MakeYard
from tests.contracts.image_yard import SMALL, sha256_in, sha256_of
from tests.contracts.release_yard import MAIN, Release, ReleaseYard

WAYS = (
    ("first", "docker"),
    ("newer-classic", "docker"),
    ("newer-containerd", "docker"),
    ("first", "a BuildKit"),
    ("newer-containerd", "a BuildKit"),
)
TOOLS = SMALL.replace('tools="sh', 'tools="rm mkdir touch sh')
DOCKERFILE = f"""\
{TOOLS}
RUN mkdir -m 0700 /data && touch /data/there
WORKDIR /model
COPY app.txt /srv/app.txt
CMD ["cat", "/srv/app.txt"]
"""
KIB = 1 << 10


class World:
    def __init__(self, yard: ReleaseYard, builder: str) -> None:
        self.yard, self.builder = yard, builder

    def release(self, model: Model | None, **given: object) -> Release:
        return self.yard.release(model, builder=self.builder, **given)

    @property
    def engine(self) -> Engine:
        return self.yard.yard.engine

    def write(self, text: str) -> None:
        self.yard.yard.write("app.txt", text)


@pytest.fixture(params=WAYS, ids=" by ".join)
def world(
    request: pytest.FixtureRequest,
    connect: Connect,
    make_yard: MakeYard,
    push_plan: PushPlan,
    testbed: dict[str, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> World:
    caplog.set_level("INFO")
    engine, builder = request.param
    yard = make_yard(connect(engine))
    yard.write("Dockerfile", DOCKERFILE)
    (tmp_path / "releases").mkdir()
    made = ReleaseYard(yard, push_plan, tmp_path / "releases")
    return World(made, "docker" if builder == "docker" else testbed["TESTBED_BUILDKIT"])


def order(release: Release) -> str:
    """`aaMa`: the app's layers and the model's, from the bottom."""
    return "".join("M" if layer.origin == "model" else "a" for layer in release.image.layers)


def test_what_each_change_costs(world: World) -> None:
    model = world.yard.yard.model("/model/m.onnx", "/data/words.txt", size=3000 * KIB)
    first = world.release(model)
    assert first.released.image is None
    assert order(first) == "aaaaM"  # nobody said what the base is
    assert first.pushed.uploaded_bytes > 6000 * KIB

    world.write("new code")
    code = world.release(model)
    assert order(code) == "aaaMa"
    assert code.pushed.uploaded_bytes < 40 * KIB  # a layer, two configs
    assert world.yard.yard.run(code.image.engine_id) == "new code"
    assert sha256_in(world.engine, code.image.engine_id, model) == sha256_of(model)

    world.write("newer code")
    again = world.release(model)
    assert order(again) == "aaaMa"
    kept = [layer.diff_id for layer in code.image.layers[:-1]]
    assert [layer.diff_id for layer in again.image.layers[:-1]] == kept

    other = world.yard.yard.model("/model/m.onnx", "/data/words.txt", size=2000 * KIB)
    new_model = world.release(other)
    assert order(new_model) == "aaaMa"
    assert 4000 * KIB < new_model.pushed.uploaded_bytes < 4100 * KIB
    apps = [
        [layer.descriptor for layer in release.image.layers if layer.origin == "app"]
        for release in (again, new_model)
    ]
    assert apps[0] == apps[1]
    assert sha256_in(world.engine, new_model.image.engine_id, other) == sha256_of(other)
    assert world.yard.yard.run(new_model.image.engine_id) == "newer code"

    nothing = world.release(
        other, annotations=(("commit", "another"),), key=BuildKey(digest="key", parts={})
    )
    assert nothing.pushed.digest == new_model.pushed.digest
    assert nothing.pushed.uploaded_bytes == 0
    after = world.release(other)
    assert after.released.made_by("key") is not None


@pytest.mark.parametrize("world", WAYS[:1], ids=" by ".join, indirect=True)
def test_a_model_of_the_workspace_is_known_by_its_bytes(world: World) -> None:
    """Each checkout marks its files anew."""
    yard = world.yard.yard
    first = world.release(yard.in_workspace(model := yard.model("/model/m"), mark="1"))
    world.write("new code")
    code = world.release(yard.in_workspace(model, mark="2"))
    assert code.image.model_layers == first.image.model_layers
    assert code.pushed.uploaded_bytes < 40 * KIB
    assert sha256_in(world.engine, code.image.engine_id, model) == sha256_of(model)

    yard.local[model.resolved.files[0]].write_bytes(b"x" * 100_000)
    other = world.release(yard.in_workspace(model, mark="3"))
    assert other.image.model_layers.isdisjoint(first.image.model_layers)
    assert other.pushed.uploaded_bytes > 100_000


@pytest.mark.parametrize("world", WAYS[:3], ids=" by ".join, indirect=True)
def test_an_app_that_was_released_is_not_taken_out_of_the_engine(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Its ID may be another one: the builder's notes in its config are not always the same."""
    first = world.release(world.yard.yard.model("/model/m.onnx"))
    saved = saved_archives(world)
    caplog.clear()
    second = world.release(world.yard.yard.model("/model/m.onnx"))
    (told,) = (line for line in caplog.messages if line.startswith("app: "))
    assert "as it was released" in told or "the registry lacks 0, 0 B" in told
    assert saved_archives(world) == saved
    assert second.app_layers == first.app_layers


def test_a_new_file_name_reads_no_layer_of_the_app(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the release before remembers of them tells where any name in the same folders goes."""
    yard, read_bytes = world.yard.yard, list[int]()
    read_range = Registry.read_range

    def note(self: Registry, repository: str, digest: Digest, start: int, stop: int) -> bytes:
        data = read_range(self, repository, digest, start, stop)
        read_bytes.append(len(data))
        return data

    first = world.release(yard.model("/model/v1.bin"))
    monkeypatch.setattr(Registry, "read_range", note)
    for name in ("v2.bin", "v3/model.bin"):
        found = world.release(model := yard.model(f"/model/{name}"))
        assert (order(found), found.app_layers) == (order(first), first.app_layers)
        assert found.pushed.uploaded_bytes < 140 * KIB  # the model, once; two configs
        assert sha256_in(world.engine, found.image.engine_id, model) == sha256_of(model)
        assert read_bytes == []


def saved_archives(world: World) -> list[Path]:
    """Of `docker save`, the first build's included."""
    return list(world.yard.yard.folder.rglob("app.tar"))


def test_the_finished_image_has_the_files_and_is_else_the_apps(world: World) -> None:
    """A link in the parents, folders with modes of their own, one that a later layer makes."""
    yard = world.yard.yard
    without = world.release(None)
    paths = ("/lib/m", "/tmp/m", "/home/app/m", "/data/m", "/model/m", "/new/deep/m")
    bottom = tuple(layer.diff_id for layer in without.image.layers[:1])
    world.yard.base = BaseImage(diff_ids=bottom)
    found = world.release(yard.model(*paths, size=9))
    assert order(found) == "aMaaa"
    before, after = (listing(world.engine, release.image.engine_id) for release in (without, found))
    assert before - after == set()
    assert {line[0] for line in after - before} == {
        "usr/lib/m",
        "tmp/m",
        "home/app/m",
        "data/m",
        "model/m",
        "new",
        "new/deep",
        "new/deep/m",
    }


def test_a_layer_that_deletes_the_models_folder_stays_below_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    yard = world.yard.yard
    yard.write(
        "Dockerfile",
        f"{TOOLS}\nRUN mkdir /model && touch /model/example\nRUN rm -rf /model\n"
        "COPY app.txt /srv/app.txt\nRUN mkdir /model\n",
    )
    world.yard.base = BaseImage(diff_ids=())
    model = yard.model("/model/m")
    found = world.release(model)
    assert order(found) in ("aaaMaa", "aaaaaM")  # containerd's folders may be opaque when made anew
    assert "/model/m lies above" in caplog.text
    assert sha256_in(world.engine, found.image.engine_id, model) == sha256_of(model)


def test_what_the_managed_tags_leave_for_the_next_run(world: World) -> None:
    model = world.yard.yard.model("/lib/m")
    found = world.release(model, key=BuildKey(digest="k", parts={}))
    registry, repository = world.yard.registry, world.yard.plan.repository
    image = registry.get_manifest(repository, MAIN.image)
    app = registry.get_manifest(repository, MAIN.app)
    assert image is not None
    assert app is not None
    assert image.digest == found.pushed.digest
    said = json.loads(app.data)["annotations"]
    assert said["modelferry.image"] == image.digest
    layer = json.loads(image.data)["layers"][-1]["annotations"]
    assert json.loads(layer[FILES])[0]["uri"] == model.files[0].file.uri
    config = json.loads(registry.read_blob(repository, json.loads(app.data)["config"]["digest"]))
    assert config["moby.buildkit.cache.v0"]
    assert b"moby" not in found.image.config
    records = world.release(model).released.records
    assert set(records) == {layer.diff_id for layer in found.app_layers}


def listing(engine: Engine, image: str) -> set[tuple[object, ...]]:
    """As `docker export` has it."""
    container = engine.client.containers.create(image, ["none"])
    try:
        data = b"".join(container.export())
    finally:
        container.remove(force=True)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {
            (m.name, m.type, m.mode, m.uid, m.gid, int(m.mtime), m.size, m.linkname)
            for m in tar
            if m.name.partition("/")[0] not in ("dev", "etc", "proc", "sys", ".dockerenv")
        }
