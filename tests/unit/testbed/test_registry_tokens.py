import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from testbed import registry_tokens
from testbed.registry_tokens import RefusedError, Settings, Tokens

_SERVICE = "127.0.0.1:5000"
_SCOPES = ["repository:team/app:pull,push registry:catalog:*", "repository:other:delete"]
_NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    registry_tokens.make_key(tmp_path / "key", tmp_path / "certificate")
    key = serialization.load_pem_private_key((tmp_path / "key").read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    settings = Settings(
        port=0, service=_SERVICE, username="ada", password="lace", key="", certificate=""
    )
    return Tokens(settings=settings, key=key, certificate="")


def _claims(tokens: Tokens, answer: dict[str, object]) -> dict[str, object]:
    token = str(answer["access_token"])
    return jwt.decode(token, tokens.key.public_key(), ["ES256"], audience=_SERVICE)


def _entra(**claims: object) -> str:
    common = {
        "aud": "https://containerregistry.azure.net",
        "tid": "T",
        "oid": "me",
        "exp": int(time.time()) + 60,
    }
    return jwt.encode({**common, **claims}, "k" * 32, algorithm="HS256")


def test_a_login_gets_what_it_asks_for(tokens: Tokens) -> None:
    answer = tokens.access({"service": _SERVICE}, _SCOPES, ("ada", "lace"))
    assert _claims(tokens, answer)["access"] == [
        {"type": "repository", "name": "team/app", "actions": ["pull", "push"]},
        {"type": "registry", "name": "catalog", "actions": ["*"]},
        {"type": "repository", "name": "other", "actions": ["delete"]},
    ]


@pytest.mark.parametrize("login", [None, ("ada", "wrong"), ("bob", "lace"), (_NOBODY, "lace")])
def test_others_get_nothing(tokens: Tokens, login: tuple[str, str] | None) -> None:
    with pytest.raises(RefusedError):
        tokens.access({"service": _SERVICE}, _SCOPES, login)


def test_another_registrys_name_is_refused(tokens: Tokens) -> None:
    with pytest.raises(RefusedError, match="service"):
        tokens.access({"service": "elsewhere"}, _SCOPES, ("ada", "lace"))


def test_an_entra_token_becomes_a_refresh_token_and_that_an_access_token(tokens: Tokens) -> None:
    form = {"service": _SERVICE, "tenant": "T"}
    refresh = str(
        tokens.exchange({**form, "grant_type": "access_token", "access_token": _entra()})[
            "refresh_token"
        ]
    )
    by_form = {**form, "grant_type": "refresh_token", "refresh_token": refresh}
    assert _claims(tokens, tokens.access(by_form, _SCOPES, None))["sub"] == "me"
    as_password = tokens.access({"service": _SERVICE}, _SCOPES, (_NOBODY, refresh))
    assert _claims(tokens, as_password)["sub"] == "me"


@pytest.mark.parametrize(
    "claims",
    [{"aud": "https://storage.azure.com"}, {"tid": "another"}, {"exp": 1_000_000_000}],
)
def test_a_wrong_entra_token_is_refused(tokens: Tokens, claims: dict[str, object]) -> None:
    form = {"grant_type": "access_token", "service": _SERVICE, "tenant": "T"}
    with pytest.raises(RefusedError):
        tokens.exchange({**form, "access_token": _entra(**claims)})


def test_an_access_token_is_no_refresh_token(tokens: Tokens) -> None:
    access = str(tokens.access({"service": _SERVICE}, [], ("ada", "lace"))["access_token"])
    form = {"grant_type": "refresh_token", "service": _SERVICE, "refresh_token": access}
    with pytest.raises(RefusedError, match="not a refresh token"):
        tokens.access(form, _SCOPES, None)
