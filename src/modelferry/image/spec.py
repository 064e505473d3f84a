"""What the user said about building the image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelferry.values import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryLogin:
    """For base images, build contexts and caches in a private registry."""

    host: str  # login server, host[:port]
    username: str
    password: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSpec:
    """Names and meanings as in docker/build-push-action."""

    context: Path
    file: Path
    target: str | None
    build_args: tuple[tuple[str, str], ...]
    build_secrets: tuple[tuple[str, Secret], ...]  # id, value
    build_contexts: tuple[tuple[str, str], ...]
    labels: tuple[tuple[str, str], ...]
    pull: bool
    no_cache: bool
    cache_from: tuple[str, ...]
    cache_to: tuple[str, ...]
    platform: str | None  # os/arch[/variant]; None is the engine's own
    builder: str  # "docker", or a BuildKit address
    login: RegistryLogin | None
    reuse: bool = True  # take the last release's digest when nothing changed
    kept_as: str  # builds of one key follow one another: the engine keeps the newest one's image
