import base64
import json
from pathlib import Path

import pytest

from modelferry.errors import IdentityError
from modelferry.registry.access import RegistryAccess
from modelferry.registry.keychain import Credentials, find_credentials
from modelferry.values import Secret


def access(host: str = "reg.example.com", username: str | None = None) -> RegistryAccess:
    password = Secret("from-input") if username else None
    return RegistryAccess(host=host, username=username, password=password, plain_http=False)


def auth(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def find(folder: Path, config: object, host: str = "reg.example.com") -> Credentials | None:
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return find_credentials(access(host), {"DOCKER_CONFIG": str(folder)})


def helper(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "docker-credential-fake"
    program.write_text(f"#!/bin/sh\nread server\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_the_inputs_come_first(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"auths": {"reg.example.com": auth("a", "b")}})
    )
    found = find_credentials(access(username="u"), {"DOCKER_CONFIG": str(tmp_path)})
    assert found is not None
    assert (found.username, found.secret.reveal()) == ("u", "from-input")


def test_nothing_configured_is_anonymous(tmp_path: Path) -> None:
    assert find_credentials(access(), {"DOCKER_CONFIG": str(tmp_path)}) is None
    assert find(tmp_path, {}) is None
    assert find(tmp_path, {"auths": {"other.example.com": auth("a", "b")}}) is None
    assert find(tmp_path, {"auths": {"reg.example.com": {}}}) is None


@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("reg.example.com", "reg.example.com"),
        ("https://reg.example.com", "reg.example.com"),
        ("https://reg.example.com/v1/", "reg.example.com"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("https://index.docker.io/v1/", "docker.io"),
    ],
)
def test_a_docker_login_is_found_under_every_spelling(tmp_path: Path, key: str, host: str) -> None:
    found = find(tmp_path, {"auths": {key: auth("user", "pass:word")}}, host)
    assert found is not None
    assert (found.username, found.secret.reveal()) == ("user", "pass:word")
    assert str(found) == f"user user from {tmp_path / 'config.json'}"


def test_an_identity_token_is_known_as_one(tmp_path: Path) -> None:
    login = {**auth("00000000-0000-0000-0000-000000000000", ""), "identitytoken": "refresh"}
    found = find(tmp_path, {"auths": {"reg.example.com": login}})
    assert found is not None
    assert (found.is_identity_token, found.secret.reveal()) == (True, "refresh")


@pytest.mark.parametrize(
    "config", [{"credsStore": "fake"}, {"credHelpers": {"reg.example.com": "fake"}}]
)
def test_a_helper_is_asked_for_this_server(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    config: dict[str, object],
) -> None:
    answer = '{"Username":"\'$server\'","Secret":"s3cret"}'
    helper(tmp_path, monkeypatch, f"echo '{answer}'")
    caplog.set_level(0)
    found = find(tmp_path, config)
    assert found is not None
    assert (found.username, found.secret.reveal()) == ("reg.example.com", "s3cret")
    assert "s3cret" not in caplog.text


def test_a_helper_without_this_login_means_anonymous(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, "echo credentials not found in native keychain; exit 1")
    assert find(tmp_path, {"credsStore": "fake"}) is None


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo keychain is locked; exit 1", "gave no login"),
        ("echo {}", "something that is no login"),
    ],
)
def test_a_helper_that_fails_is_an_error_not_an_anonymous_push(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, told: str
) -> None:
    helper(tmp_path, monkeypatch, script)
    with pytest.raises(IdentityError, match=told):
        find(tmp_path, {"credsStore": "fake"})


def test_a_missing_helper_names_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(IdentityError, match="docker-credential-fake"):
        find(tmp_path, {"credsStore": "fake"})


@pytest.mark.parametrize(
    "config", ["{not json", {"auths": {"reg.example.com": {"auth": "%%%notbase64"}}}]
)
def test_a_broken_configuration_is_an_error(tmp_path: Path, config: object) -> None:
    with pytest.raises(IdentityError, match=r"config\.json"):
        find(tmp_path, config)
