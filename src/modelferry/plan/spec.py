"""What a run will do: one slice a stage."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from modelferry.apptest.spec import AppTests
from modelferry.artifacts import PushedImage
from modelferry.image.spec import BuildSpec
from modelferry.registry.access import RegistryAccess
from modelferry.rollout.release.stale import Intent
from modelferry.rollout.spec import ClusterAccess, DeploySpec, RollbackSpec
from modelferry.sources.spec import ModelLine, StorageAccess
from modelferry.values import ImageRef

REPORT = "modelferry-report.json"  # in the workspace; our own work, and nobody's change


class Stage(StrEnum):
    FETCH = "fetch"
    BUILD = "build"
    TEST = "test"
    PUSH = "push"
    DEPLOY = "deploy"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """Where and for whom this run happens: GITHUB_* on a runner, git and defaults elsewhere."""

    workspace: Path  # absolute; relative paths in inputs are relative to it
    temp: Path  # private to this run, removed at the end; named here, made by the pipeline
    run_id: str  # GITHUB_RUN_ID, or one made for this run
    run_attempt: int
    repository: str | None  # owner/name
    commit: str | None
    branch: str | None  # a pull request's own branch; the tag's name where a tag started the run
    server_url: str | None
    default_branch: str | None = None
    formed: str = ""  # when this attempt began, ISO 8601 in UTC

    @property
    def intent(self) -> Intent:
        return Intent.of(self.run_id, self.run_attempt, self.server_url, self.formed)

    @property
    def run_label(self) -> str:
        """Marks what this run makes in the engine: `modelferry.run=…`."""
        return self.temp.name

    @property
    def annotations(self) -> tuple[tuple[str, str], ...]:
        """For the image's manifest, not its config: the image ID is content's alone.

        Names from the image-spec, annotations.md.
        """
        at_home = self.server_url and self.repository
        said = {
            "org.opencontainers.image.source": f"{self.server_url}/{self.repository}"
            if at_home
            else None,
            "org.opencontainers.image.revision": self.commit,
            "modelferry.run": f"{self.run_id}/{self.run_attempt}",
        }
        return tuple((name, value) for name, value in said.items() if value)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPlan:
    lines: tuple[ModelLine, ...]
    access: StorageAccess
    version: str | None  # the label the user gave
    marker: str | None
    sha256: tuple[tuple[str | None, str], ...]  # (NAME, or None for the one file; HEX)
    in_context: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedTags:
    """Where a branch's last release is found again, and the app alone with its build cache.

    A branch without its own starts from the default branch's.
    """

    image: str  # mf-<branch>
    app: str  # mf-<branch>-app
    fallback_image: str | None
    fallback_app: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PushPlan:
    access: RegistryAccess
    repository: str
    tags: tuple[str, ...]
    managed: ManagedTags | None = None  # None: the run has no branch

    @property
    def name(self) -> ImageRef:
        return ImageRef(registry=self.access.host, repository=self.repository)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployPlan:
    cluster: ClusterAccess
    spec: DeploySpec
    image: ImageRef | None  # the `image` input, for a job that only deploys
    tags: tuple[str, ...]  # of that image, as far as they are known
    model_version: str = ""  # of `image`, as the user says
    registry: RegistryAccess | None = None  # where `image` can be looked up; None without a login

    @property
    def given(self) -> PushedImage:
        """`image`, as if this run had pushed it; its model's version is what the user says."""
        if self.image is None or self.image.digest is None:
            raise AssertionError("the plan refuses a deploy with neither image nor push")
        return PushedImage(
            ref=self.image,
            digest=self.image.digest,
            tags=self.tags,
            model_version=self.model_version,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackPlan:
    cluster: ClusterAccess
    spec: RollbackSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A slice is None when its stage does not run, or there is nothing for it to do."""

    stages: tuple[Stage, ...]
    dry_run: bool
    context: RunContext
    model: ModelPlan | None
    build: BuildSpec | None
    tests: AppTests | None
    push: PushPlan | None
    deploy: DeployPlan | None
    rollback: RollbackPlan | None = None
