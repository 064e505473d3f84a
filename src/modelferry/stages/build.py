"""build: the user's Dockerfile and the model become one image.

The app is built as its Dockerfile says and never sees the model. Beside that the model is read
once, into layers of its own, which go to the registry and the engine as they come. The image's
bytes are fixed here: what is tested is what will be pushed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from modelferry.artifacts import LocalFile
from modelferry.errors import ModelChanged
from modelferry.image.app.buildx import build_app
from modelferry.image.app.in_context import files_in_context
from modelferry.image.compose import Pairs
from modelferry.image.run_images import RunImages
from modelferry.image.sending import Sending
from modelferry.image.spec import BuildSpec
from modelferry.last_release.destination import Destination
from modelferry.sources.open_model import OpenModel
from modelferry.stages.app_build import BuiltInEngine, FindBase, PushedByBuilder
from modelferry.stages.carrier import App, Built, Carrier
from modelferry.values import Digest


def build_image(
    spec: BuildSpec,
    model: OpenModel | None,
    *,
    images: RunImages | None,
    annotations: Pairs,
    load: bool,
    destination: Destination | None,
    base: FindBase = lambda _, __: None,
    temp: Path,
    workspace: Path,
) -> Built:
    """`temp` is private to this run; the app's layers are read from it until the push is over.

    `images`: None without an engine, which a `builder` of its own needs for tests alone. `load`:
    into the engine, for its tests. Without a destination nothing will travel, so the app's layers
    are not compressed. A model that changes meanwhile is read anew, at most twice.
    """
    folder = temp / "image"
    folder.mkdir(mode=0o700)
    sending = Sending()
    carrier = Carrier(model, images if load else None, destination)
    maker = (
        PushedByBuilder(spec, destination, base, folder)
        if destination and spec.builder != "docker"
        else BuiltInEngine(spec, images, destination, base, folder, sending)
    )
    try:
        begun = carrier.begin_early()
        with files_in_context(model.on_disk if model else (), spec.context, spec.file):
            app = maker.make(workspace, None if begun else carrier.begin_on_base, carrier.check)
        built = _carry(carrier, app, maker.base_diff_ids, annotations)
        sending.finish()
    except BaseException:
        carrier.end()
        sending.abandon()
        raise
    sent_bytes = built.image.uploaded_bytes + sending.sent_bytes
    return replace(built, image=replace(built.image, uploaded_bytes=sent_bytes))


def build_target(
    spec: BuildSpec,
    *,
    images: RunImages,
    temp: Path,
    workspace: Path,
    in_context: tuple[LocalFile, ...] = (),
) -> str:
    """The image ID of another stage of the same Dockerfile (`test-target`), for the tests only."""
    folder = temp / f"target-{spec.target}"
    folder.mkdir(mode=0o700)
    with files_in_context(in_context, spec.context, spec.file):
        return build_app(spec, images, "target", temp=folder, workspace=workspace)


def _carry(
    carrier: Carrier, app: App, base: Callable[[], Sequence[Digest] | None], annotations: Pairs
) -> Built:
    while True:
        try:
            return carrier.carry(app, base, annotations)
        except ModelChanged as error:
            carrier.begin_anew(error)
