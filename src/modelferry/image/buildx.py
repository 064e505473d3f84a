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
from modelferry.artifacts import App
from modelferry.engine import Engine
from modelferry.errors import (
    Annotation,
    BuildError,
    FerryError,
    IdentityError,
    RegistryError,
)
from modelferry.image.build_failure import BuildFailure, explain
from modelferry.image.client_config import client_env, user_folder
from modelferry.image.run_images import Part, RunImages
from modelferry.image.spec import BuildSpec, RegistryLogin
from modelferry.values import Digest, ImageRef, parse_digest

log = logging.getLogger("modelferry.build")

_DATE = "SOURCE_DATE_EPOCH"  # reproducible-builds.org; buildx takes it from its environment
_PROBE_S = 60.0
_SHOWN_LINES = 20
_SECRET_ENV = "MODELFERRY_BUILD_SECRET_{}"  # noqa: S105 - a name, not a secret


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
) -> App:
    """The run holds the image as its `part`. `temp` is a folder of this build."""
    output = ("--load", "--tag", images.name(part))
    metadata = _build(spec, output, images.run_label, temp=temp, workspace=workspace, cache=cache)
    return App(image_id=_built_image(images.engine, metadata))


def push_app(
    spec: BuildSpec,
    target: ImageRef,
    *,
    plain_http: bool,
    run_label: str,
    temp: Path,
    workspace: Path,
    cache: Cache = NO_CACHE,
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
    metadata = _build(spec, output, run_label, temp=temp, workspace=workspace, cache=cache)
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
    run_label: str,
    *,
    temp: Path,
    workspace: Path,
    cache: Cache,
) -> dict[str, object]:
    """What the builder tells of its result."""
    buildx = find_buildx()
    metadata = temp / "build.json"
    with (
        client_env(spec.login, temp / "docker", child_env(os.environ)) as env,
        _builder(buildx, spec.builder, run_label, temp / "buildx", env) as (builder, chosen),
    ):
        argv = [*buildx, "build", "--builder", builder, *build_flags(spec, metadata, cache)]
        done = process.run(
            [*argv, *output, str(spec.context)],
            env={**chosen, **secret_env(spec)},
            on_line=log.info,
        )
    if done.status != 0:
        raise _failure(spec, done, workspace)
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
    buildx: tuple[str, ...], address: str, run_label: str, config: Path, env: dict[str, str]
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
        name = f"modelferry-{run_label}"
        _connect(buildx, name, address, env)
        yield name, env
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
                seen="\n".join(done.last_lines[-_SHOWN_LINES:]),
                do="Check `builder`: `docker`, or tcp://… unix://… docker-container://… "
                "kube-pod://… where a BuildKit daemon listens.",
            )


def _built_image(engine: Engine, metadata: Mapping[str, object]) -> str:
    """The store decides which of the digests that BuildKit reports is the image's ID."""
    for key in ("containerimage.config.digest", "containerimage.digest"):
        reported = metadata.get(key)
        if not isinstance(reported, str):
            continue
        answer = engine.request("GET", f"/images/{reported}/json")
        if answer.status_code == 200:
            return answer.json()["Id"]
    raise BuildError(
        "The build ended well and the engine does not have its image",
        seen=json.dumps(metadata, indent=1),
    )


def _failure(spec: BuildSpec, done: process.Completed, workspace: Path) -> FerryError:
    text = spec.file.read_text(errors="replace") if spec.file.is_file() else ""
    failure = explain(done.last_lines, text)
    if failure.unpushed:
        return _push_failure(spec, failure, done)
    shown = _relative(spec.file, workspace)
    where = f" at {shown}:{failure.line}" if failure.line else f" at {shown}"
    seen = "\n".join(done.last_lines[-_SHOWN_LINES:])
    place = Annotation(
        file=shown,
        line=failure.line,
        title="The build failed here",
        message=f"{failure.step}\n{failure.reason}".strip(),
    )
    if failure.refused:
        return IdentityError(
            f"The base image {failure.refused} was refused{where}: {failure.reason}",
            seen=seen,
            do=_login_advice(spec.login, failure.refused),
            annotations=(place,),
        )
    step = f", `{failure.step}`" if failure.step else ""
    return BuildError(
        f"The build failed{where}{step}: {failure.reason}",
        seen=seen,
        do=_advice(failure),
        annotations=(place,),
    )


def _push_failure(spec: BuildSpec, failure: BuildFailure, done: process.Completed) -> FerryError:
    what = f"The builder {spec.builder} could not push {failure.unpushed}: {failure.reason}"
    seen = "\n".join(done.last_lines[-_SHOWN_LINES:])
    if failure.by_login:
        return IdentityError(what, seen=seen, do=_login_advice(spec.login, failure.unpushed))
    do = _advice(failure) or "The builder must reach that registry too: network, proxy, DNS, TLS."
    return RegistryError(what, seen=seen, do=do)


def _login_advice(login: RegistryLogin | None, refused: str) -> str:
    host = ImageRef.parse(refused).registry
    if login and login.host == host:
        return f"Check `username` and `password`: they were given to {host} and must be let pull."
    return (
        f"Log in to {host} before this step (docker/login-action), or, if it is where this image "
        "goes too, give `registry`, `username` and `password`."
    )


def _advice(failure: BuildFailure) -> str:
    if "unsupported frontend capability" in failure.reason:
        return "This Docker's BuildKit is too old for that; use Docker 23 or newer, or `builder`."
    if "server gave HTTP response to HTTPS client" in failure.reason:
        return (
            "BuildKit speaks https to that registry: name it among `insecure-registries` in the "
            "engine's daemon.json, or as `http = true` in the buildkitd.toml of `builder`."
        )
    return ""


def _relative(path: Path, workspace: Path) -> str:
    try:
        return str(path.resolve().relative_to(workspace.resolve()))
    except ValueError:
        return str(path)


def _csv(*fields: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()
