"""build: the user's Dockerfile and the model become one image, loaded in the engine.

The app is built as its Dockerfile says and never sees the model; the model's files are layers of
their own. The image's bytes are fixed here: what is tested is what will be pushed.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from modelferry.artifacts import FetchedFile, Image, Model
from modelferry.image.app_layers import save_app
from modelferry.image.buildx import build_app
from modelferry.image.compose import MANIFEST_TYPE, Composition, compose, model_labels
from modelferry.image.context import files_in_context
from modelferry.image.load import load_image
from modelferry.image.model_layers import make_model_layers
from modelferry.image.parents import place_files
from modelferry.image.run_images import RunImages
from modelferry.image.spec import BuildSpec
from modelferry.image.workers import Stop, workers
from modelferry.values import ImageRef, format_bytes

log = logging.getLogger("modelferry.build")

Pairs = tuple[tuple[str, str], ...]


def build_image(
    spec: BuildSpec,
    model: Model | None,
    *,
    images: RunImages,
    labels: Pairs,
    annotations: Pairs,
    push_name: ImageRef | None,
    temp: Path,
    workspace: Path,
    in_context: tuple[FetchedFile, ...] = (),
) -> Image:
    """`temp` is private to this run; the image's layers are read from it until the push is over.

    Without `push_name` nothing will travel, so the app's layers are not compressed.
    """
    engine = images.engine
    folder = temp / "image"
    folder.mkdir(mode=0o700)
    with files_in_context(in_context, spec.context, spec.file):
        app = build_app(spec, images, "app", temp=folder, workspace=workspace)
    place = partial(place_files, engine, app.image_id, run_label=images.run_label)
    stop = Stop()
    with workers(1, "model-layers", stop) as pool:
        files = model.files if model else ()
        model_layers = pool.submit(make_model_layers, files, place, stop)
        saved = save_app(engine, app.image_id, folder, compress=push_name is not None, stop=stop)
        composed = compose(
            saved.image,
            model_layers.result(),
            labels=(*labels, *(model_labels(model) if model else ())),
            annotations=annotations,
        )
    image = _image(composed, load_image(images, composed, saved.stored))
    log.info(
        "image %s: %d layers, %s",
        image.engine_id,
        len(image.layers),
        format_bytes(image.size_bytes),
    )
    return image


def build_target(
    spec: BuildSpec,
    *,
    images: RunImages,
    temp: Path,
    workspace: Path,
    in_context: tuple[FetchedFile, ...] = (),
) -> str:
    """The image ID of another stage of the same Dockerfile (`test-target`), for the tests only."""
    folder = temp / f"target-{spec.target}"
    folder.mkdir(mode=0o700)
    with files_in_context(in_context, spec.context, spec.file):
        return build_app(spec, images, "target", temp=folder, workspace=workspace).image_id


def _image(composed: Composition, engine_id: str) -> Image:
    return Image(
        config=composed.config_bytes,
        manifest=composed.manifest_bytes,
        manifest_media_type=MANIFEST_TYPE,
        digest=composed.manifest.digest,
        engine_id=engine_id,
        layers=composed.layers,
    )
