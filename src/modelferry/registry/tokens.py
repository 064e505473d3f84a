"""Authorization for registry requests: the Bearer token flow and Basic.

distribution/distribution: docs/content/spec/auth/token.md and oauth.md.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from modelferry.errors import IdentityError, RegistryError
from modelferry.registry.answers import Answer, without_query
from modelferry.registry.keychain import Credentials

_DEFAULT_LIFE_S = 60.0  # the flow's document: what holds when a token does not say
_MARGIN = 0.2  # the last part of its life in which a token is not used any more
_CLIENT = "modelferry"

_CHALLENGE = re.compile(r'(?P<scheme>[A-Za-z]+)(?P<fields>(?:\s*,?\s*[a-z_]+="[^"]*")*)')
_FIELD = re.compile(r'([a-z_]+)="([^"]*)"')

Ask = Callable[[str, str, dict[str, str], bytes | None], Answer]  # method, URL, headers, body
Scopes = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    bearer: bool
    realm: str = ""
    service: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    header: str
    good_until: float  # time.monotonic


class Authorizer:
    """Knows what the registry wants and keeps a token for each set of scopes; thread-safe."""

    def __init__(self, credentials: Credentials | None, ask: Ask, *, allow_plain: bool) -> None:
        self._credentials, self._ask = credentials, ask
        self._allow_plain = allow_plain
        self._challenge: Challenge | None = None
        self._tokens: dict[Scopes, Token] = {}
        self._lock = threading.Lock()

    def learn(self, challenges: Iterable[str]) -> None:
        """From the WWW-Authenticate headers of a 401."""
        with self._lock:
            self._challenge = choose(challenges)

    def header(self, scopes: Scopes) -> str | None:
        """What to send now; a token near its end is renewed before a long request, not in it."""
        with self._lock:
            if self._challenge is None:
                return None
            if not self._challenge.bearer:
                return self._credentials.basic if self._credentials else None
            token = self._tokens.get(scopes)
            if token is None or token.good_until < time.monotonic():
                token = self._tokens[scopes] = self._fetch(self._challenge, scopes)
            return token.header

    def renew(self, scopes: Scopes, refused: str | None, challenges: Iterable[str]) -> bool:
        """After a 401: forget the refused token; False when there is nothing else to try."""
        with self._lock:
            if self._challenge is None:  # GET /v2/ was open to all, this was not
                self._challenge = choose(challenges)
                return self._challenge is not None
            if not self._challenge.bearer:
                return False
            token = self._tokens.get(scopes)
            if token and token.header == refused:  # else another thread has a fresh one already
                del self._tokens[scopes]
            return True

    def _fetch(self, challenge: Challenge, scopes: Scopes) -> Token:
        realm = urlsplit(challenge.realm)
        if self._credentials and realm.scheme != "https" and not self._allow_plain:
            raise IdentityError(
                "The registry wants its login sent without TLS",
                seen=without_query(challenge.realm),
                do="Use a registry with TLS, or set `insecure-registry: true`.",
            )
        answer = self._ask(*_token_request(challenge, scopes, self._credentials))
        if answer.status in (400, 401, 403):
            raise IdentityError(
                f"The registry's token service refused {self._who()} ({' '.join(scopes)})",
                seen=str(answer),
                do="Check `username` and `password`, or the `docker login` of this machine.",
            )
        if answer.status != 200:
            raise RegistryError(
                f"The registry's token service answered HTTP {answer.status}",
                seen=str(answer),
                temporary=answer.temporary,
            )
        return _read_token(answer)

    def _who(self) -> str:
        return str(self._credentials) if self._credentials else "us without a login"


def choose(challenges: Iterable[str]) -> Challenge | None:
    """Bearer where it is offered, else Basic."""
    offered: dict[str, Challenge] = {}
    for header in challenges:
        for found in _CHALLENGE.finditer(header):
            fields = dict(_FIELD.findall(found["fields"]))
            scheme = found["scheme"].lower()
            if scheme == "bearer" and fields.get("realm"):
                offered[scheme] = Challenge(
                    bearer=True, realm=fields["realm"], service=fields.get("service", "")
                )
            elif scheme == "basic":
                offered[scheme] = Challenge(bearer=False)
    return offered.get("bearer") or offered.get("basic")


def _token_request(
    challenge: Challenge, scopes: Scopes, credentials: Credentials | None
) -> tuple[str, str, dict[str, str], bytes | None]:
    service = [("service", challenge.service)] if challenge.service else []
    if credentials and credentials.is_identity_token:
        form = [
            ("grant_type", "refresh_token"),
            *service,
            ("client_id", _CLIENT),
            ("scope", " ".join(scopes)),
            ("refresh_token", credentials.secret.reveal()),
        ]
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return "POST", challenge.realm, headers, urlencode(form).encode()
    query = urlencode([*service, *(("scope", scope) for scope in scopes)])
    joint = "&" if urlsplit(challenge.realm).query else "?"
    headers = {"Authorization": credentials.basic} if credentials else {}
    return "GET", f"{challenge.realm}{joint}{query}", headers, None


def _read_token(answer: Answer) -> Token:
    try:
        found = json.loads(answer.body)
        token = found.get("access_token") or found["token"]
        life_s = float(found.get("expires_in") or _DEFAULT_LIFE_S)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RegistryError(
            "The registry's token service answered with no token",
            seen=f"{answer.method} {without_query(answer.url)}: HTTP {answer.status}",
        ) from error
    return Token(header=f"Bearer {token}", good_until=time.monotonic() + life_s * (1 - _MARGIN))
