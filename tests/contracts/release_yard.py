"""One release after another, put together from the image engine's parts: build, take, fit,
compose, push, and read again what was released."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from modelferry.artifacts import AppManifest, Image, Model, PushedImage, TestedImage, Verdict
from modelferry.image.app_layers import SavedApp, app_in_engine, app_in_registry
from modelferry.image.buildx import build_app, push_app, registry_cache
from modelferry.image.compose import MANIFEST_TYPE, compose, model_labels
from modelferry.image.load import load_image
from modelferry.image.model_layers import make_model_layers
from modelferry.image.placement import Fit
from modelferry.image.released import Released, compose_app, keep_released
from modelferry.image.spec import RegistryLogin
from modelferry.image.stack import fit_app
from modelferry.image.workers import Stop
from modelferry.plan.spec import ManagedTags, PushPlan
from modelferry.registry.client import Registry
from modelferry.stages.push import push_image
from modelferry.stages.released import read_pushed_app, read_released
from modelferry.values import Digest, ImageRef
from tests.contracts.image_yard import Yard

MAIN = ManagedTags(image="mf-main", app="mf-main-app", fallback_image=None, fallback_app=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    image: Image
    pushed: PushedImage
    fit: Fit | None
    released: Released  # what was known before
    app: SavedApp


class ReleaseYard:
    def __init__(self, yard: Yard, plan: PushPlan, folder: Path) -> None:
        self.yard, self.plan, self.folder = yard, replace(plan, managed=MAIN), folder
        self.registry = Registry(plan.access)
        self.base: tuple[Digest, ...] | None = None

    def release(
        self,
        model: Model | None,
        *,
        builder: str = "docker",
        others: tuple[ImageRef, ...] = (),
        annotations: tuple[tuple[str, str], ...] = (),
        build_key: str | None = None,
    ) -> Release:
        folder = self.folder / f"release-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        released = read_released(self.registry, self.plan, others=others)
        app, image_id = self._app(builder, released, folder)
        fit = self._fit(app, model, released)
        parts = make_model_layers(
            model.files if model else (), lambda _: dict(fit.placements) if fit else {}, Stop()
        )
        composed = keep_released(
            compose(
                app.image,
                parts,
                seam=fit.seam if fit else None,
                labels=model_labels(model) if model else (),
                annotations=annotations,
            ),
            released.image,
        )
        own = compose_app(
            app.image,
            image=composed,
            image_id=image_id,
            records=fit.records if fit else {},
            build_key=build_key,
        )
        image = Image(
            config=composed.config_bytes,
            manifest=composed.manifest_bytes,
            manifest_media_type=MANIFEST_TYPE,
            digest=composed.manifest.digest,
            engine_id=load_image(self.yard.images, composed, app.stored),
            layers=composed.layers,
            app=AppManifest(config=own.config_bytes, manifest=own.manifest_bytes),
        )
        pushed = push_image(
            TestedImage(image=image, verdict=Verdict.PASSED),
            self.plan,
            registry=self.registry,
            released=released,
        )
        return Release(image=image, pushed=pushed, fit=fit, released=released, app=app)

    def _app(self, builder: str, released: Released, folder: Path) -> tuple[SavedApp, str | None]:
        yard, cached = self.yard, released.app is not None
        access = self.plan.access
        assert access.username
        assert access.password
        login = RegistryLogin(host=access.host, username=access.username, password=access.password)
        spec = replace(yard.spec(), builder=builder, login=login)
        cache = registry_cache(self.plan.name, MAIN.app if cached else None)
        if builder == "docker":
            built = build_app(
                spec, yard.images, "app", temp=folder, workspace=yard.context, cache=cache
            )
            app = app_in_engine(
                yard.engine,
                built.image_id,
                folder,
                released=released,
                read_range=self.registry.read_range,
                travels=True,
                run_label=yard.name,
                stop=Stop(),
            )
            return app, built.image_id
        digest = push_app(
            spec,
            self.plan.name,
            plain_http=True,
            run_label=yard.name,
            temp=folder,
            workspace=yard.context,
            cache=cache,
        )
        config, layers = read_pushed_app(self.registry, self.plan.repository, digest)
        return app_in_registry(config, layers, self.registry.read_range), None

    def _fit(self, app: SavedApp, model: Model | None, released: Released) -> Fit | None:
        if model is None:
            return None
        return fit_app(
            app,
            [PurePosixPath(fetched.file.image_path) for fetched in model.files],
            records=released.records,
            released=released.stack,
            base=self.base,
            stop=Stop(),
        )
