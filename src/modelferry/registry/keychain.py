"""Who we are at a registry: the inputs' login, else what `docker login` left, else nobody."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelferry import process
from modelferry.errors import IdentityError
from modelferry.registry.access import RegistryAccess
from modelferry.values import Secret

log = logging.getLogger("modelferry.registry")

_HELPER_S = 30.0
_TOKEN_USER = "<token>"  # noqa: S105 - what a credential helper says when the secret is a token
_NOT_FOUND = "credentials not found in native keychain"  # docker-credential-helpers, for "none"
_DOCKER_HUB = "https://index.docker.io/v1/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A user and a password, or an identity token that is exchanged for access tokens."""

    username: str
    secret: Secret
    is_identity_token: bool = False
    origin: str

    def __str__(self) -> str:
        who = "an identity token" if self.is_identity_token else f"user {self.username}"
        return f"{who} from {self.origin}"

    @property
    def basic(self) -> str:
        pair = f"{self.username}:{self.secret.reveal()}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


def find_credentials(
    access: RegistryAccess, environ: Mapping[str, str] = os.environ
) -> Credentials | None:
    """None means anonymous. IdentityError where a login is configured and cannot be read."""
    if access.username and access.password:
        return Credentials(
            username=access.username,
            secret=access.password,
            origin="the inputs username and password",
        )
    folder = environ.get("DOCKER_CONFIG")
    file = (Path(folder) if folder else Path.home() / ".docker") / "config.json"
    return _from_docker_config(file, access.host) if file.is_file() else None


def _from_docker_config(file: Path, host: str) -> Credentials | None:
    try:
        config: dict[str, Any] = json.loads(file.read_bytes())
    except ValueError as error:
        raise IdentityError(
            f"{file} is not JSON, so no registry login can be read from it",
            seen=str(error),
            do="Mend it, or give `username` and `password`.",
        ) from error
    names = _names(host)
    helpers: dict[str, str] = config.get("credHelpers") or {}
    helper = next((helpers[name] for name in names if name in helpers), config.get("credsStore"))
    if helper:
        return _from_helper(helper, names[0])
    logins: dict[str, dict[str, str]] = config.get("auths") or {}
    login = next((logins[name] for name in names if logins.get(name)), None)
    return _from_login(login, file) if login else None


def _names(host: str) -> tuple[str, ...]:
    if host == "docker.io":
        return (_DOCKER_HUB, "docker.io", "index.docker.io")
    return (
        host,
        f"https://{host}",
        f"https://{host}/",
        f"https://{host}/v1/",
        f"https://{host}/v2/",
    )


def _from_login(login: Mapping[str, str], file: Path) -> Credentials | None:
    if token := login.get("identitytoken"):
        return Credentials(
            username="", secret=Secret(token), is_identity_token=True, origin=str(file)
        )
    try:
        username, _, password = base64.b64decode(login.get("auth", "")).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise IdentityError(
            f"{file} holds a login that cannot be read", do="Run `docker login` again."
        ) from error
    if not username:
        return None
    return Credentials(username=username, secret=Secret(password), origin=str(file))


def _from_helper(helper: str, server: str) -> Credentials | None:
    """The credential helper protocol: the server's name in, a JSON object out."""
    program = f"docker-credential-{helper}"
    try:
        done = process.run(
            [program, "get"], stdin=server.encode(), timeout_s=_HELPER_S, on_line=_unlogged
        )
    except process.ProgramMissingError as error:
        raise IdentityError(
            f"Docker's configuration names {program} for {server}, which is not on PATH",
            do="Install it, or give `username` and `password`.",
        ) from error
    answer = "\n".join(done.last_lines)
    if done.status != 0:
        if _NOT_FOUND in answer:
            return None
        raise IdentityError(f"{program} gave no login for {server}", seen=answer)
    try:
        found = json.loads(answer)
        username, secret = found["Username"], Secret(found["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise IdentityError(
            f"{program} answered for {server} with something that is no login"
        ) from error
    return Credentials(
        username=username,
        secret=secret,
        is_identity_token=username == _TOKEN_USER,
        origin=program,
    )


def _unlogged(_: str) -> None:
    """The output is a password."""
