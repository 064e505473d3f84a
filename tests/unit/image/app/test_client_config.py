import base64
import json
from pathlib import Path

import pytest

from modelferry.errors import IdentityError
from modelferry.image.app.client_config import client_env, with_login
from modelferry.image.spec import RegistryLogin
from modelferry.values import Secret

LOGIN = RegistryLogin(host="reg.example:5000", username="ferry", password=Secret("pass:word"))
AUTH = {"auth": base64.b64encode(b"ferry:pass:word").decode()}


@pytest.fixture
def users(tmp_path: Path) -> Path:
    folder = tmp_path / "users"
    (folder / "cli-plugins").mkdir(parents=True)
    (folder / "cli-plugins" / "docker-buildx").write_text("the plugin")
    (folder / "contexts").mkdir()
    (folder / "config.json").write_text('{"credsStore": "pass", "proxies": {"default": {}}}')
    return folder


def test_what_the_user_configured_is_kept() -> None:
    other = {"auth": "b3RoZXI6b3RoZXI="}
    given = {
        "auths": {"other.example": other, LOGIN.host: {"auth": "b2xk"}},
        "credHelpers": {"gcr.example": "gcloud"},
        "credsStore": "desktop",
        "currentContext": "remote",
    }
    assert with_login(given, LOGIN) == {
        "auths": {"other.example": other, LOGIN.host: AUTH},
        "credHelpers": {"gcr.example": "gcloud", LOGIN.host: ""},
        "credsStore": "desktop",
        "currentContext": "remote",
    }


def test_docker_hub_has_a_key_of_its_own() -> None:
    login = RegistryLogin(host="docker.io", username="ferry", password=Secret("pass:word"))
    assert with_login({}, login)["auths"] == {"https://index.docker.io/v1/": AUTH}


def test_the_login_is_in_a_private_folder_and_gone_afterwards(users: Path, tmp_path: Path) -> None:
    folder = tmp_path / "docker"
    with client_env(LOGIN, folder, {"DOCKER_CONFIG": str(users), "PATH": "/bin"}) as env:
        assert env == {"DOCKER_CONFIG": str(folder), "PATH": "/bin"}
        assert folder.stat().st_mode & 0o777 == 0o700
        file = folder / "config.json"
        assert file.stat().st_mode & 0o777 == 0o600
        config = json.loads(file.read_text())
        assert (config["credsStore"], config["auths"]) == ("pass", {LOGIN.host: AUTH})
        assert (folder / "cli-plugins" / "docker-buildx").read_text() == "the plugin"
        assert (folder / "contexts").is_dir()
    assert not folder.exists()
    assert (users / "cli-plugins" / "docker-buildx").exists()
    assert "auths" not in json.loads((users / "config.json").read_text())


def test_a_user_without_a_configuration_gets_the_login_alone(tmp_path: Path) -> None:
    folder = tmp_path / "docker"
    with client_env(LOGIN, folder, {"DOCKER_CONFIG": str(tmp_path / "none")}):
        assert [path.name for path in folder.iterdir()] == ["config.json"]


def test_without_a_login_the_users_own_configuration_is_used(tmp_path: Path) -> None:
    with client_env(None, tmp_path / "docker", {"DOCKER_CONFIG": "/theirs"}) as env:
        assert env == {"DOCKER_CONFIG": "/theirs"}
        assert list(tmp_path.iterdir()) == []


def test_a_configuration_that_cannot_be_read_is_named(users: Path, tmp_path: Path) -> None:
    (users / "config.json").write_text("{")
    folder = tmp_path / "docker"
    with (
        pytest.raises(IdentityError, match=r"users/config\.json is not JSON"),
        client_env(LOGIN, folder, {"DOCKER_CONFIG": str(users)}),
    ):
        pytest.fail("must not be entered")
    assert not folder.exists()
