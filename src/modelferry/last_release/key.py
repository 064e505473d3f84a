"""Is this delivery the one that was released last? Their build keys say so.

A key is a digest over everything that decides the image and its verdict: context, Dockerfile,
build inputs, base images, model, tests. Labels, commit and run are no part of it. Where a part
cannot be known beforehand there is no key, and the image is built.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from modelferry import __version__
from modelferry.apptest.spec import AppTests
from modelferry.artifacts import ModelFile, ResolvedModel
from modelferry.image.recipe.tree import (
    ignore_file,
    path_digest,
    plain_ignore_file,
    tree_digest,
)
from modelferry.image.spec import BuildSpec
from modelferry.last_release.base_images import DigestOf, recipe_of
from modelferry.last_release.changed import BuildKey, parts_of
from modelferry.plan.spec import ModelPlan, Plan
from modelferry.sources.spec import SourceKind
from modelferry.values import ImageRef

# What pytest reads on its way to the tests that are named.
_PYTEST_FILES = ("conftest.py", "pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")


class NoBuildKey(Exception):
    """A part of it that nobody can tell before the build: says which."""


def build_key(
    plan: Plan,
    build: BuildSpec,
    model: ResolvedModel | None,
    digest_of: DigestOf,
    *,
    platform: str,
) -> BuildKey:
    """Raises NoBuildKey."""
    try:
        facts = _facts(plan, build, model, digest_of, platform)
    except (OSError, UnicodeDecodeError) as error:
        raise NoBuildKey(str(error)) from error
    return BuildKey(
        digest=hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest(),
        parts=parts_of(facts, model.version if model else None, build.labels),
        sums=_sums(facts["model"]),
    )


def _facts(
    plan: Plan,
    build: BuildSpec,
    model: ResolvedModel | None,
    digest_of: DigestOf,
    platform: str,
) -> dict[str, Any]:
    if build.no_cache:
        raise NoBuildKey("`no-cache` asks for a fresh build")
    recipe = recipe_of(build, plan.tests)
    if recipe.loose:
        raise NoBuildKey(f"in {build.file.name}, {recipe.loose[0]}")
    workspace = plan.context.workspace
    return {
        "modelferry": __version__,
        "context": tree_digest(build.context, ignore_file(build.context, build.file)),
        "dockerfile": hashlib.sha256(build.file.read_bytes()).hexdigest(),
        "images": {image: _pinned(image, digest_of) for image in recipe.images},
        "build": {
            "target": build.target,
            "args": build.build_args,
            "secrets": [name for name, _ in build.build_secrets],
            "contexts": [
                (name, _context(address, workspace, digest_of))
                for name, address in build.build_contexts
            ],
            "platform": platform,
            "builder": build.builder,  # one elsewhere may be of another platform
        },
        "model": _model(plan.model, model.files, workspace) if model and plan.model else None,
        "tests": _tests(plan.tests, workspace) if plan.tests else None,
    }


def _pinned(image: str, digest_of: DigestOf) -> str:
    try:
        reference = ImageRef.parse(image)
    except ValueError as error:
        raise NoBuildKey(str(error)) from None
    found = reference.digest or digest_of(reference)
    if found is None:
        raise NoBuildKey(f"nobody says what {image} is now")
    return found


def _context(address: str, workspace: Path, digest_of: DigestOf) -> str:
    kind, separator, rest = address.partition("://")
    if kind == "docker-image" and separator:
        return _pinned(rest, digest_of)
    path = workspace / address
    if separator or not path.is_dir():
        raise NoBuildKey(f"the build context {address} is not on this machine")
    return tree_digest(path, plain_ignore_file(path))


def _model(model: ModelPlan, files: Iterable[ModelFile], workspace: Path) -> dict[str, Any]:
    return {
        "files": [_model_file(file, workspace) for file in files],
        "sums": model.sha256,
        "in-context": model.in_context,
    }


def _model_file(file: ModelFile, workspace: Path) -> dict[str, Any]:
    scheme, _, path = file.uri.partition(":")
    identity = file.version_id or file.etag
    if scheme == SourceKind.FILE:  # its mark is new with every checkout
        with (workspace / path).open("rb") as content:
            identity = hashlib.file_digest(content, "sha256").hexdigest()
    elif identity is None:
        raise NoBuildKey(f"{file.uri} has neither version nor ETag")
    return {
        "uri": file.uri,
        "path": str(file.image_path),
        "size": file.size_bytes,
        "identity": identity,
    }


def _sums(model: Mapping[str, Any] | None) -> dict[str, str]:
    files = model["files"] if model else ()
    return {
        file["uri"]: file["identity"]
        for file in files
        if file["uri"].startswith(f"{SourceKind.FILE}:")
    }


def _tests(tests: AppTests, workspace: Path) -> dict[str, Any]:
    files = [check.file for check in tests.checks if check.file]
    if tests.test_requirements:
        files.append(tests.test_requirements)
    return {
        "unit": tests.unit_tests,
        "port": tests.port,
        "health": tests.health_path,
        "start-timeout": tests.start_timeout_s,
        "env": tests.env,
        "checks": [check.text for check in tests.checks],
        "integration": tests.integration_tests,
        "target": tests.test_target,
        "files": [path_digest(path) for path in files],
        "suite": _suite(tests, workspace),
    }


def _suite(tests: AppTests, workspace: Path) -> list[str]:
    """What the integration tests may read: the path that is named and what pytest reads on the
    way to it; for a command, whatever stands in the workspace."""
    if tests.integration_tests is None or tests.test_target:
        return []  # a test target's files are in the context
    path = workspace / tests.integration_tests.partition("::")[0]
    if not path.exists():
        return [path_digest(workspace)]
    return [path_digest(each) for each in (path, *_above(path, workspace))]


def _above(path: Path, workspace: Path) -> Iterable[Path]:
    for folder in path.parents:
        if not folder.is_relative_to(workspace):
            break
        for name in _PYTEST_FILES:
            if (folder / name).is_file():
                yield folder / name
