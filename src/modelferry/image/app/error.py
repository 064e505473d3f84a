"""A build that failed → the error that is shown: where in the Dockerfile, why, what to do."""

from __future__ import annotations

from pathlib import Path

from modelferry.errors import Annotation, BuildError, FerryError, IdentityError, RegistryError
from modelferry.image.app.failure import BuildFailure, explain
from modelferry.image.spec import BuildSpec, RegistryLogin
from modelferry.process import Completed
from modelferry.values import ImageRef

SHOWN_LINES = 20


def build_error(spec: BuildSpec, done: Completed, workspace: Path) -> FerryError:
    text = spec.file.read_text(errors="replace") if spec.file.is_file() else ""
    failure = explain(done.last_lines, text)
    if failure.unpushed:
        return _push_failure(spec, failure, done)
    shown = _relative(spec.file, workspace)
    where = f" at {shown}:{failure.line}" if failure.line else f" at {shown}"
    seen = "\n".join(done.last_lines[-SHOWN_LINES:])
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


def _push_failure(spec: BuildSpec, failure: BuildFailure, done: Completed) -> FerryError:
    what = f"The builder {spec.builder} could not push {failure.unpushed}: {failure.reason}"
    seen = "\n".join(done.last_lines[-SHOWN_LINES:])
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
