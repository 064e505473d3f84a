"""One release after another: build, push, and read again what was released."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from modelferry.artifacts import Image, Layer, Model, PushedImage, TestedImage, Verdict
from modelferry.image.recipe.base import BaseImage
from modelferry.image.released import Released
from modelferry.image.spec import RegistryLogin
from modelferry.last_release.changed import BuildKey
from modelferry.last_release.destination import Destination
from modelferry.last_release.read import read_released
from modelferry.plan.spec import ManagedTags, PushPlan
from modelferry.registry.client import Registry
from modelferry.stages.push import push_image
from modelferry.values import ImageRef
from tests.contracts.image_yard import Yard

MAIN = ManagedTags(image="mf-main", app="mf-main-app", fallback_image=None, fallback_app=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    image: Image
    pushed: PushedImage
    released: Released  # what was known before

    @property
    def app_layers(self) -> list[Layer]:
        return [layer for layer in self.image.layers if layer.origin == "app"]


class ReleaseYard:
    def __init__(self, yard: Yard, plan: PushPlan, folder: Path) -> None:
        self.yard, self.plan, self.folder = yard, replace(plan, managed=MAIN), folder
        self.registry = Registry(plan.access)
        self.base: BaseImage | None = None

    def release(
        self,
        model: Model | None,
        *,
        builder: str = "docker",
        others: tuple[ImageRef, ...] = (),
        annotations: tuple[tuple[str, str], ...] = (),
        key: BuildKey | None = None,
    ) -> Release:
        released = read_released(self.registry, self.plan, others=others)
        access = self.plan.access
        assert access.username
        assert access.password
        login = RegistryLogin(host=access.host, username=access.username, password=access.password)
        image = self.yard.build(
            model,
            destination=Destination(
                push=self.plan, registry=self.registry, released=released, key=key
            ),
            base=lambda _, __: self.base,
            annotations=annotations,
            builder=builder,
            login=login,
        )
        pushed = push_image(
            TestedImage(image=image, verdict=Verdict.PASSED),
            self.plan,
            registry=self.registry,
            released=released,
        )
        return Release(image=image, pushed=pushed, released=released)
