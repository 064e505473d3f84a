"""The last release beside this delivery, before anything is built."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from modelferry.artifacts import ResolvedModel
from modelferry.image.spec import BuildSpec
from modelferry.last_release.base_images import current_digests, known_images
from modelferry.last_release.changed import compared
from modelferry.last_release.destination import Destination
from modelferry.last_release.key import NoBuildKey, build_key
from modelferry.last_release.read import read_released
from modelferry.plan.spec import Plan, PushPlan

if TYPE_CHECKING:
    from modelferry.engine import Engine
    from modelferry.registry.client import Registry

log = logging.getLogger("modelferry.released")


def compare(
    plan: Plan,
    build: BuildSpec,
    push: PushPlan,
    *,
    model: ResolvedModel | None,
    registry: Registry,
    engine: Engine | None,
) -> tuple[Destination, str]:
    """Where the image goes; and in words what became another since the last release there."""
    platform = build.platform or (engine.facts.platform if engine else "")
    released = read_released(registry, push, others=known_images(build), platform=platform)
    digest_of = current_digests(build, push.access, engine)
    key, unknown = None, ""
    try:
        key = build_key(plan, build, model, digest_of, platform=platform)
    except NoBuildKey as error:
        unknown = str(error)
    said = compared(released, key, unknown)
    log.info("%s", said)
    return Destination(push=push, registry=registry, released=released, key=key), said
