import json
from urllib.parse import parse_qs, urlsplit

import pytest

from modelferry.errors import IdentityError, RegistryError
from modelferry.registry.answers import Answer
from modelferry.registry.keychain import Credentials
from modelferry.registry.tokens import Authorizer, Challenge, choose
from modelferry.values import Secret

BEARER = 'Bearer realm="https://auth.example.com/token",service="reg.example.com"'
USER = Credentials(username="u", secret=Secret("p"), origin="test")
IDENTITY = Credentials(username="", secret=Secret("refresh"), is_identity_token=True, origin="test")
SCOPES = ("repository:a:pull,push", "repository:b:pull")


class Service:
    """Answers as a token service would and keeps what it was asked."""

    def __init__(self, status: int = 200, **body: object) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes | None]] = []
        self._status, self._body = status, body or {"access_token": "t", "expires_in": 300}

    def __call__(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> Answer:
        self.asked.append((method, url, headers, body))
        content = {**self._body}
        if "access_token" in content:
            content["access_token"] = f"{content['access_token']}{len(self.asked)}"
        return Answer(
            method=method,
            url=url,
            status=self._status,
            headers={},
            body=json.dumps(content).encode(),
        )


def authorizer(
    service: Service, credentials: Credentials | None = USER, challenge: str = BEARER
) -> Authorizer:
    made = Authorizer(credentials, service, allow_plain=False)
    made.learn([challenge])
    return made


@pytest.mark.parametrize(
    ("headers", "chosen"),
    [
        ([BEARER], ("https://auth.example.com/token", "reg.example.com")),
        (['Basic realm="x"', BEARER], ("https://auth.example.com/token", "reg.example.com")),
        (
            ['Basic realm="x", Bearer realm="https://r",service="s",scope="a,b"'],
            ("https://r", "s"),
        ),
        (['bearer realm="https://r"'], ("https://r", "")),
    ],
)
def test_bearer_is_chosen_wherever_it_is_offered(
    headers: list[str], chosen: tuple[str, str]
) -> None:
    assert choose(headers) == Challenge(bearer=True, realm=chosen[0], service=chosen[1])


def test_basic_where_nothing_else_is_offered() -> None:
    assert choose(['Basic realm="Registry"']) == Challenge(bearer=False)
    assert choose(["Negotiate"]) is None


def test_a_password_asks_with_every_scope() -> None:
    service = Service()
    assert authorizer(service).header(SCOPES) == "Bearer t1"
    ((method, url, headers, body),) = service.asked
    assert (method, body) == ("GET", None)
    assert headers == {"Authorization": "Basic dTpw"}
    assert parse_qs(urlsplit(url).query) == {"service": ["reg.example.com"], "scope": [*SCOPES]}


def test_an_identity_token_is_exchanged_by_post() -> None:
    service = Service()
    authorizer(service, IDENTITY).header(SCOPES)
    ((method, url, headers, body),) = service.asked
    assert (method, url) == ("POST", "https://auth.example.com/token")
    assert "Authorization" not in headers
    form = parse_qs((body or b"").decode())
    assert form["grant_type"] == ["refresh_token"]
    assert form["refresh_token"] == ["refresh"]
    assert form["scope"] == [" ".join(SCOPES)]


def test_nobody_asks_without_a_login() -> None:
    service = Service()
    authorizer(service, None).header(SCOPES)
    assert service.asked[0][2] == {}


def test_a_token_is_kept_while_it_is_good_and_by_scope() -> None:
    service = Service()
    made = authorizer(service)
    assert made.header(SCOPES) == made.header(SCOPES) == "Bearer t1"
    assert made.header(SCOPES[:1]) == "Bearer t2"


def test_a_token_near_its_end_is_renewed_before_it_is_used() -> None:
    service = Service(access_token="t", expires_in=1e-9)
    made = authorizer(service)
    assert [made.header(SCOPES), made.header(SCOPES)] == ["Bearer t1", "Bearer t2"]


def test_a_refused_token_is_dropped_once_for_all_threads() -> None:
    service = Service()
    made = authorizer(service)
    used = made.header(SCOPES)
    assert made.renew(SCOPES, used, [])
    fresh = made.header(SCOPES)
    assert made.renew(SCOPES, used, [])  # another thread, refused with the old one too
    assert made.header(SCOPES) == fresh == "Bearer t2"


def test_a_registry_open_at_its_door_may_ask_later() -> None:
    made = Authorizer(USER, Service(), allow_plain=False)
    assert made.header(SCOPES) is None
    assert made.renew(SCOPES, None, [BEARER])
    assert made.header(SCOPES) == "Bearer t1"


def test_basic_is_sent_as_it_is_and_never_renewed() -> None:
    made = authorizer(Service(), challenge='Basic realm="x"')
    assert made.header(SCOPES) == "Basic dTpw"
    assert not made.renew(SCOPES, "Basic dTpw", [])


def test_no_login_goes_to_a_realm_without_tls() -> None:
    service = Service()
    made = authorizer(service, challenge='Bearer realm="http://auth.example.com/token"')
    with pytest.raises(IdentityError, match="without TLS"):
        made.header(SCOPES)
    assert service.asked == []


def test_a_refused_login_names_who_asked_for_what() -> None:
    made = authorizer(Service(401, errors=[{"code": "UNAUTHORIZED", "message": "bad password"}]))
    with pytest.raises(IdentityError, match=r"refused user u from test") as caught:
        made.header(SCOPES)
    assert "repository:a:pull,push" in caught.value.what
    assert "bad password" in caught.value.seen


def test_an_answer_without_a_token_is_no_token() -> None:
    with pytest.raises(RegistryError, match="no token"):
        authorizer(Service(other="x")).header(SCOPES)
