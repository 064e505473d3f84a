"""The docker client's configuration for a build: the user's own, and the login from the inputs."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelferry.errors import IdentityError
from modelferry.image.spec import RegistryLogin

_DOCKER_HUB = "https://index.docker.io/v1/"  # the key of docker.io's login, and of no other's


@contextmanager
def client_env(
    login: RegistryLogin | None, folder: Path, environ: Mapping[str, str]
) -> Iterator[dict[str, str]]:
    """`environ` for the docker client and its plugins. A `login` is in force inside the block only:
    `folder` stands in for the user's, and has the user's contexts, plugins and builders in it.
    """
    if login is None:
        yield dict(environ)
        return
    own = user_folder(environ)
    file = own / "config.json"
    folder.mkdir(mode=0o700)
    try:
        for entry in own.iterdir() if own.is_dir() else ():
            if entry.name != file.name:
                (folder / entry.name).symlink_to(entry.absolute())
        config = with_login(_read(file) if file.is_file() else {}, login)
        private = folder / file.name
        private.touch(mode=0o600)
        private.write_text(json.dumps(config))
        yield {**environ, "DOCKER_CONFIG": str(folder)}
    finally:
        shutil.rmtree(folder)


def user_folder(environ: Mapping[str, str]) -> Path:
    given = environ.get("DOCKER_CONFIG")
    return Path(given) if given else Path.home() / ".docker"


def with_login(config: Mapping[str, Any], login: RegistryLogin) -> dict[str, Any]:
    """A helper, that of all registries too, would be asked in place of `auths`; the empty name
    says that this registry has none."""
    host = _DOCKER_HUB if login.host == "docker.io" else login.host
    pair = f"{login.username}:{login.password.reveal()}".encode()
    auth = {"auth": base64.b64encode(pair).decode()}
    return {
        **config,
        "auths": {**(config.get("auths") or {}), host: auth},
        "credHelpers": {**(config.get("credHelpers") or {}), host: ""},
    }


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_bytes())
    except ValueError as error:
        raise IdentityError(
            f"{file} is not JSON, so no login can be added to it",
            seen=str(error),
            do="Mend it, or log in to the registry before this step and leave `username` and "
            "`password` out.",
        ) from error
