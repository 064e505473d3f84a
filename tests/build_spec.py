"""A build that asks for nothing beyond its context."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from modelferry.image.spec import BuildSpec


def plain_spec(context: Path, *, kept_as: str, **given: object) -> BuildSpec:
    plain = BuildSpec(
        context=context,
        file=context / "Dockerfile",
        target=None,
        build_args=(),
        build_secrets=(),
        build_contexts=(),
        labels=(),
        pull=False,
        no_cache=False,
        cache_from=(),
        cache_to=(),
        platform=None,
        builder="docker",
        login=None,
        kept_as=kept_as,
    )
    return replace(plain, **given)
