"""What runs leave in an engine that is used again and again: one image, whatever they changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import pytest
from docker.errors import ImageNotFound

from modelferry.artifacts import Image, Model
from modelferry.image.run_images import RunImages, run_images
from modelferry.stages.build import build_target
from tests.contracts.conftest import Connect, MakeYard
from tests.contracts.image_yard import MADE_BY, Yard

Run = Callable[..., AbstractContextManager[RunImages]]

ENGINES = ("first", "newer-classic", "newer-containerd")


@pytest.fixture(params=ENGINES)
def yard(request: pytest.FixtureRequest, connect: Connect, make_yard: MakeYard) -> Yard:
    return make_yard(connect(request.param))


@pytest.fixture
def run(yard: Yard) -> Iterator[Run]:
    """One run after the other, or beside it, each under a label of its own."""
    begun: list[RunImages] = []

    @contextmanager
    def begin() -> Iterator[RunImages]:
        with run_images(yard.engine, yard.name, f"{yard.name}-{len(begun)}") as images:
            begun.append(images)
            yield images

    yield begin
    for image in yard.engine.client.images.list(name=begun[0].repository):
        for tag in image.tags:
            yard.engine.client.images.remove(tag, force=True)


@contextmanager
def failing(run: Run) -> Iterator[RunImages]:
    with suppress(KeyboardInterrupt), run() as images:
        yield images
        raise KeyboardInterrupt


def left(yard: Yard) -> dict[str, list[str]]:
    """Names by ID, of everything that was built here: images without a name, too."""
    found = yard.engine.client.images.list(filters={"label": f"{MADE_BY}={yard.name}"})
    return {str(image.id): image.tags for image in found}


def deliver(yard: Yard, run: Run, model: Model | None = None) -> Image:
    with run() as images:
        return yard.build(model, images=images)


def test_five_changes_of_code_and_three_of_the_model_leave_one_image(
    yard: Yard, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "modelferry")
    for _ in range(3):
        model = yard.model("/model/model.onnx")
        image = deliver(yard, run, model)
        assert list(left(yard)) == [image.engine_id]
    caplog.clear()
    for number in range(5):
        yard.write("app.txt", f"code {number}")
        image = deliver(yard, run, model)
        assert list(left(yard)) == [image.engine_id]
        ((name,),) = left(yard).values()
        assert ":newest-" in name
    assert yard.run(image.engine_id) == "code 4"
    assert "sending all" not in caplog.text
    steps = [line for line in caplog.messages if line.endswith(" CACHED")]
    assert len(steps) >= 5  # of each build, the steps before the code


def test_a_failed_run_leaves_what_was_there(yard: Yard, run: Run) -> None:
    kept = deliver(yard, run)
    before = left(yard)
    assert list(before) == [kept.engine_id]
    yard.write("app.txt", "another code")
    with failing(run) as images:
        yard.build(yard.model("/model/model.onnx"), images=images)
        spec = yard.spec()
        (yard.folder / "target").mkdir()
        build_target(spec, images=images, temp=yard.folder / "target", workspace=yard.context)
        assert len(left(yard)) >= 3
    assert left(yard) == before


def test_removed_images_do_not_cost_the_next_build_its_cache(
    yard: Yard, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "modelferry")
    with failing(run) as images:
        first = yard.build(images=images)
    assert left(yard) == {}
    caplog.clear()
    assert deliver(yard, run).engine_id == first.engine_id
    done = [line for line in caplog.messages if " DONE " in line or line.endswith(" CACHED")]
    assert any(line.endswith(" CACHED") for line in done)
    assert yard.run(first.engine_id).startswith(yard.name)


def test_a_run_beside_another_takes_no_image_from_it(yard: Yard, run: Run) -> None:
    model = yard.model("/model/model.onnx")
    kept = deliver(yard, run, model)
    with run() as slow:
        same = yard.build(model, images=slow)
        assert same.engine_id == kept.engine_id
        yard.write("app.txt", "new code")
        newer = deliver(yard, run, model)
        assert set(left(yard)) >= {same.engine_id, newer.engine_id}
        assert yard.run(same.engine_id).startswith(yard.name)
        with failing(run) as third:
            assert yard.build(model, images=third).engine_id == newer.engine_id
        assert yard.run(newer.engine_id) == "new code"
    assert len(left(yard)) == 1  # the one of whoever ended last


def test_an_image_that_somebody_named_stays_theirs(yard: Yard, run: Run) -> None:
    first = deliver(yard, run)
    theirs = f"{yard.name}:theirs"
    yard.engine.client.images.get(first.engine_id).tag(theirs)
    yard.write("app.txt", "new code")
    second = deliver(yard, run)
    assert left(yard)[first.engine_id] == [theirs]
    assert set(left(yard)) == {first.engine_id, second.engine_id}


def test_an_image_that_a_container_is_made_of_goes_later(
    yard: Yard, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "modelferry")
    first = deliver(yard, run)
    container = yard.engine.client.containers.create(first.engine_id)
    try:
        yard.write("app.txt", "new code")
        deliver(yard, run)
        assert first.engine_id in left(yard)
        assert "is in use and stays" in caplog.text
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    finally:
        container.remove(force=True)
    yard.write("app.txt", "newer code")
    third = deliver(yard, run)
    assert list(left(yard)) == [third.engine_id]
    with pytest.raises(ImageNotFound):
        yard.engine.client.images.get(first.engine_id)
