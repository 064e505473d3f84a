"""The user's Dockerfile → an image, by BuildKit through `docker buildx`: in the engine, or, where
a `builder` of its own makes it, pushed by its digest and under no tag."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelferry import process
from modelferry.engine import Engine
from modelferry.errors import BuildError
from modelferry.image.app.client_config import client_env, user_folder
from modelferry.image.app.error import SHOWN_LINES, build_error
from modelferry.image.run_images import Part, RunImages
from modelferry.image.spec import BuildSpec
from modelferry.image.workers import Check
from modelferry.values import Digest, ImageRef, parse_digest

log = logging.getLogger("modelferry.build")

_DATE = "SOURCE_DATE_EPOCH"  # reproducible-builds.org; buildx takes it from its environment
_PROBE_S = 60.0
_BUILDER = "modelferry"  # known in a folder of this build alone
_SECRET_ENV = "MODELFERRY_BUILD_SECRET_{}"  # noqa: S105 - a name, not a secret


def _nothing_else() -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Ours, beside the user's `cache-from`, and in place of a `cache-to` that is not given."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]


NO_CACHE = Cache(sources=(), targets=())


def build_app(
    spec: BuildSpec,
    images: RunImages,
    part: Part,
    *,
    temp: Path,
    workspace: Path,
    cache: Cache = NO_CACHE,
    check: Check = _nothing_else,
) -> str:
    """The image's ID; the run holds it as its `part`. `temp` is a folder of this build. `check`
    is called time and again: what it raises ends the build."""
    output = ("--load", "--tag", images.name(part))
    metadata = _build(spec, output, temp=temp, workspace=workspace, cache=cache, check=check)
    return _built_image(images.engine, metadata)


def push_app(
    spec: BuildSpec,
    target: ImageRef,
    *,
    plain_http: bool,
    temp: Path,
    workspace: Path,
    cache: Cache = NO_CACHE,
    check: Check = _nothing_else,
) -> Digest:
    """The digest of the app's manifest in `target`, where it has no tag. Needs a `builder`."""
    options = {
        "type": "image",
        "name": target.name,
        "push": "true",
        "push-by-digest": "true",
        "oci-mediatypes": "true",
        **({"registry.insecure": "true"} if plain_http else {}),
        **({"rewrite-timestamp": "true"} if _is_dated(spec, os.environ) else {}),
    }
    output = ("--output", _csv(*(f"{name}={value}" for name, value in options.items())))
    metadata = _build(spec, output, temp=temp, workspace=workspace, cache=cache, check=check)
    reported = metadata.get("containerimage.digest")
    if not isinstance(reported, str):
        raise BuildError(
            f"The builder {spec.builder} pushed the app and does not say under which digest",
            seen=json.dumps(metadata, indent=1),
            do="Use a BuildKit of version 0.10 or newer as `builder`.",
        )
    return parse_digest(reported)


def registry_cache(repository: ImageRef, tag: str | None) -> Cache:
    """The app leaves its cache in its own image; `tag`: where the last one is, if anywhere."""
    source = f"type=registry,ref={repository.tagged(tag)}" if tag else ""
    return Cache(sources=(source,) if source else (), targets=("type=inline",))


def _build(
    spec: BuildSpec,
    output: tuple[str, ...],
    *,
    temp: Path,
    workspace: Path,
    cache: Cache,
    check: Check,
) -> dict[str, object]:
    """What the builder tells of its result. What `check` raises at a line ends the build."""

    def tell(line: str) -> None:
        log.info(line)
        check()

    buildx = find_buildx()
    metadata = temp / "build.json"
    with (
        client_env(spec.login, temp / "docker", child_env(os.environ)) as env,
        _builder(buildx, spec.builder, temp / "buildx", env) as (builder, chosen),
    ):
        argv = [*buildx, "build", "--builder", builder, *build_flags(spec, metadata, cache)]
        done = process.run(
            [*argv, *output, str(spec.context)],
            env={**chosen, **secret_env(spec)},
            on_line=tell,
        )
    check()
    if done.status != 0:
        raise build_error(spec, done, workspace)
    return json.loads(metadata.read_bytes())


def _is_dated(spec: BuildSpec, environ: Mapping[str, str]) -> bool:
    """Only who names a date gets the files' times rewritten: what Python compiled in a RUN step
    counts as stale where its source has another time, and each start compiles it again."""
    return _DATE in environ or any(name == _DATE for name, _ in spec.build_args)


def find_buildx() -> tuple[str, ...]:
    for argv in (("docker", "buildx"), ("docker-buildx",), ("buildx",)):
        if shutil.which(argv[0]) is None:
            continue
        if process.run([*argv, "version"], timeout_s=_PROBE_S, on_line=log.debug).status == 0:
            return argv
    raise BuildError(
        "docker buildx is not on this machine",
        do="Install Docker's buildx plugin (package docker-buildx or docker-buildx-plugin, or the "
        "action docker/setup-buildx-action).",
    )


def build_flags(spec: BuildSpec, metadata: Path, cache: Cache = NO_CACHE) -> list[str]:
    flags = ["--progress", "plain", "--provenance=false", "--file", str(spec.file)]
    flags += ["--metadata-file", str(metadata)]
    flags += ["--target", spec.target] if spec.target else []
    flags += ["--platform", spec.platform] if spec.platform else []
    flags += ["--pull"] if spec.pull else []
    flags += ["--no-cache"] if spec.no_cache else []
    for name, value in spec.build_args:
        flags += ["--build-arg", f"{name}={value}"]
    for number, (name, _) in enumerate(spec.build_secrets):
        flags += ["--secret", _csv(f"id={name}", f"env={_SECRET_ENV.format(number)}")]
    for name, value in spec.build_contexts:
        flags += ["--build-context", f"{name}={value}"]
    for name, value in spec.labels:
        flags += ["--label", f"{name}={value}"]
    for value in (*spec.cache_from, *(() if spec.no_cache else cache.sources)):
        flags += ["--cache-from", value]
    for value in spec.cache_to or cache.targets:  # older builders take one target only
        flags += ["--cache-to", value]
    return flags


def secret_env(spec: BuildSpec) -> dict[str, str]:
    return {
        _SECRET_ENV.format(number): value.reveal()
        for number, (_, value) in enumerate(spec.build_secrets)
    }


def child_env(environ: Mapping[str, str]) -> dict[str, str]:
    """Ours without our inputs, and without whatever builder the user last chose."""
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith("INPUT_") and name != "BUILDX_BUILDER"
    }


@contextmanager
def _builder(
    buildx: tuple[str, ...], address: str, config: Path, env: dict[str, str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """The builder's name, and the environment that knows it. `default` is the engine's own; it
    takes only changed files from a context when it knows buildx again, by the user's folder."""
    users = Path(env.get("BUILDX_CONFIG") or user_folder(env) / "buildx")
    if address == "docker" and os.access(users, os.W_OK):
        yield "default", env
        return
    config.mkdir(mode=0o700)
    env = {**env, "BUILDX_CONFIG": str(config)}
    try:
        if address == "docker":
            yield "default", env
            return
        _connect(buildx, _BUILDER, address, env)
        yield _BUILDER, env
    finally:
        shutil.rmtree(config)


def _connect(buildx: tuple[str, ...], name: str, address: str, env: dict[str, str]) -> None:
    for argv in (
        [*buildx, "create", "--name", name, "--driver", "remote", address],
        [*buildx, "inspect", "--bootstrap", name],
    ):
        done = process.run(argv, env=env, timeout_s=_PROBE_S, on_line=log.debug)
        if done.status != 0:
            raise BuildError(
                f"No BuildKit answers at {address}",
                seen="\n".join(done.last_lines[-SHOWN_LINES:]),
                do="Check `builder`: `docker`, or tcp://… unix://… docker-container://… "
                "kube-pod://… where a BuildKit daemon listens.",
            )


def _built_image(engine: Engine, metadata: Mapping[str, object]) -> str:
    """The store decides which of the digests that BuildKit reports is the image's ID."""
    for key in ("containerimage.config.digest", "containerimage.digest"):
        reported = metadata.get(key)
        if not isinstance(reported, str):
            continue
        if image := engine.find_image(reported):
            return image["Id"]
    raise BuildError(
        "The build ended well and the engine does not have its image",
        seen=json.dumps(metadata, indent=1),
    )


def _csv(*fields: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()
