"""What the user said about deploying."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelferry.checks import Check
from modelferry.cluster.access import ClusterAccess
from modelferry.values import ImageRef

__all__ = ["ClusterAccess", "DeploySpec", "ImageRule", "RollbackSpec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRule:
    """One line of `images`: CONTAINER=IMAGE. `image` None means the image this run built."""

    container: str
    image: ImageRef | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploySpec:
    manifests: tuple[str, ...]  # files, folders, globs, relative to the workspace
    namespace: str | None  # None: the kubeconfig context's, else default
    release: str
    images: tuple[ImageRule, ...]
    variables: tuple[tuple[str, str], ...]  # the user's; the built-in ones are added when known
    deploy_by: Literal["digest", "tag"]
    timeout_s: float
    image_pull_secrets: tuple[str, ...]
    force: bool
    checks: tuple[Check, ...]
    port: int | None
    start_timeout_s: float
    rollback: bool = True  # return to what was there before, when the rollout fails
    rollback_timeout_s: float = 300.0
    allow_older: bool = False
    smoke_tests: str | None = None  # pytest path or command
    test_requirements: Path | None = None  # what they import
    check_url: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackSpec:
    """What the user said about returning to an earlier release, by hand."""

    release: str
    namespace: str | None
    to: str | None  # release number or digest; None: the release before the current one
    timeout_s: float
