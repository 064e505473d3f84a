"""Two versions of a small app in the testbed's registry, a namespace a test, and the stage."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from modelferry.artifacts import PushedImage, Rollout
from modelferry.checks import parse_checks
from modelferry.cluster import connect
from modelferry.cluster.access import ClusterAccess
from modelferry.cluster.client import Cluster
from modelferry.plan.cluster import cluster_access
from modelferry.plan.spec import DeployPlan, RunContext
from modelferry.registry.access import RegistryAccess
from modelferry.registry.client import Registry
from modelferry.rollout.spec import DeploySpec, ImageRule
from modelferry.stages import deploy as stage
from modelferry.values import ImageRef
from prove.kube_yard import own_namespace

APP = Path(__file__).parent / "app"


@pytest.fixture(scope="session")
def registry(registry_access: RegistryAccess) -> Registry:
    return Registry(registry_access)


@pytest.fixture(scope="session")
def push(
    testbed: Mapping[str, str], registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], PushedImage]]:
    """Builds the app as this version, and pushes it."""
    config = tmp_path_factory.mktemp("docker")
    login = f"{testbed['TESTBED_REGISTRY_USERNAME']}:{testbed['TESTBED_REGISTRY_PASSWORD']}"
    auths = {registry.host: {"auth": base64.b64encode(login.encode()).decode()}}
    (config / "config.json").write_text(json.dumps({"auths": auths}))
    name = ImageRef(registry=registry.host, repository=f"t-deploy-{uuid4().hex[:8]}")
    made: list[str] = []

    def build(version: str) -> PushedImage:
        made.append(str(name.tagged(f"v{version}")))
        return _push(name, version, testbed, registry, config)

    yield build
    _docker(config, "rmi", *made)


@pytest.fixture(scope="session")
def images(push: Callable[[str], PushedImage]) -> tuple[PushedImage, PushedImage]:
    """The app as version 1 and 2."""
    return push("1"), push("2")


def _push(
    name: ImageRef, version: str, testbed: Mapping[str, str], registry: Registry, config: Path
) -> PushedImage:
    tag = f"v{version}"
    reference = str(name.tagged(tag))
    arguments = {"BASE": testbed["TESTBED_BASE_IMAGE"], "VERSION": version, "UNIQUE": uuid4().hex}
    given = [f"--build-arg={key}={value}" for key, value in arguments.items()]
    _docker(config, "build", "--tag", reference, *given, str(APP))
    _docker(config, "push", reference)
    digest = registry.head_manifest(name.repository, tag)
    assert digest
    return PushedImage(
        ref=name.pinned(digest), digest=digest, tags=(tag,), model_version=f"model-{version}"
    )


def _docker(config: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["docker", "--config", config, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def cluster(testbed: Mapping[str, str]) -> Cluster:
    return connect(ClusterAccess(path=testbed["KUBECONFIG"]))


@pytest.fixture
def namespace(cluster: Cluster, unique: str) -> Iterator[str]:
    with own_namespace(cluster, unique) as name:
        yield name


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    return RunContext(
        workspace=workspace,
        temp=tmp_path / "temp",
        run_id="4711",
        run_attempt=1,
        repository=None,
        commit=None,
        branch=None,
        server_url=None,
    )


Deploy = Callable[..., Rollout]


@pytest.fixture
def deploy(namespace: str, context: RunContext, testbed: Mapping[str, str]) -> Deploy:
    """`deploy(manifest, image, checks=…, timeout_s=…)`: both halves of the stage."""
    spec = DeploySpec(
        manifests=("app.yaml",),
        namespace=namespace,
        release="app",
        images=(),
        variables=(),
        deploy_by="digest",
        timeout_s=120,
        image_pull_secrets=(),
        force=False,
        checks=(),
        port=None,
        start_timeout_s=15,
    )

    def play(
        manifest: str,
        image: PushedImage,
        *,
        kubeconfig: str = testbed["KUBECONFIG"],
        checks: str = "",
        images: tuple[ImageRule, ...] = (),
        run: str = context.run_id,
        attempt: int = 1,
        **changes: Any,
    ) -> Rollout:
        (context.workspace / "app.yaml").write_text(manifest)
        parsed, _ = parse_checks(checks)
        plan = DeployPlan(
            cluster=cluster_access(kubeconfig),
            spec=replace(spec, checks=parsed, images=images, **changes),
            image=None,
            tags=image.tags,
        )
        built = ImageRef(registry=image.ref.registry, repository=image.ref.repository)
        by = replace(context, run_id=run, run_attempt=attempt)
        target = stage.prepare(plan, built=built, context=by)
        return stage.deploy(plan, image, target, context=by)

    return play
