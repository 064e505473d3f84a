"""Requests to one registry: which scheme, who asks, what is tried again, where a request may go."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urljoin, urlsplit

import urllib3

from modelferry.errors import Cancelled, RegistryError
from modelferry.registry.access import RegistryAccess, is_loopback
from modelferry.registry.answers import Answer, refusal, without_query
from modelferry.registry.keychain import Credentials
from modelferry.registry.patience import FIRST_S, LASTING_S, Patience
from modelferry.registry.tokens import Authorizer, Scopes
from modelferry.registry.wire import Body, Wire

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5


class Transport:
    def __init__(self, access: RegistryAccess, credentials: Credentials | None) -> None:
        self.host = access.host
        self.who = f"as {credentials}" if credentials else "without a login"
        self.lasting_s = LASTING_S
        self._access = access
        self._wire = Wire(access.host)
        self._origin: str | None = None
        self._answered = False  # any request of ours, by what a registry that works says
        self._stopped = threading.Event()
        self._lock = threading.Lock()  # of the origin
        self._auth = Authorizer(
            credentials,
            self._wire.exchange,
            allow_plain=access.plain_http or is_loopback(self.host),
        )

    def stop(self) -> None:
        """End what is under way in other threads, at its next piece or pause."""
        self._stopped.set()

    def check_stopped(self) -> None:
        if self._stopped.is_set():
            raise Cancelled("The upload was stopped")

    def pause(self, seconds: float) -> None:
        self._stopped.wait(seconds)
        self.check_stopped()

    def patience(self) -> Patience:
        return Patience(self.lasting_s if self._answered else FIRST_S, self.pause)

    def call(
        self,
        method: str,
        target: str,
        *,
        expect: tuple[int, ...],
        doing: str,
        scopes: Scopes,
        headers: Mapping[str, str] | None = None,
        body: Body | bytes | None = None,
    ) -> Answer:
        """For requests that may be repeated. Any status that is not expected is an error."""
        patience = self.patience()
        while True:
            asked_s = 0.0
            try:
                answer = self.send(method, target, scopes=scopes, headers=headers, body=body)
                if answer.status == 401 and self.renew(scopes, answer):
                    answer = self.send(method, target, scopes=scopes, headers=headers, body=body)
                if answer.status in expect:
                    return answer
                asked_s = answer.retry_after_s
                raise refusal(answer, doing, self.who)
            except RegistryError as error:
                patience.wait(error, asked_s)

    def send(
        self,
        method: str,
        target: str,
        *,
        scopes: Scopes,
        headers: Mapping[str, str] | None = None,
        body: Body | bytes | None = None,
    ) -> Answer:
        """One request, whatever comes of it. RegistryError when nothing came."""
        url = self._resolve(target)
        ours = self._is_ours(url)
        for _ in range(_MOST_REDIRECTS):
            self.check_stopped()
            sent = dict(headers or {})
            if ours and (authorization := self._auth.header(scopes)):
                sent["Authorization"] = authorization
            answer = self._wire.exchange(method, url, sent, body)
            answer = replace(answer, authorization=sent.get("Authorization"))
            self._answered = self._answered or not answer.temporary
            if answer.status not in _REDIRECTS or method not in ("GET", "HEAD"):
                return answer
            url = self._resolve(answer.headers.get("Location", ""), base=url)
            ours = ours and self._is_ours(url)  # never again after one step outside
        raise RegistryError(f"{self.host} redirects without end", seen=without_query(url))

    def renew(self, scopes: Scopes, answer: Answer) -> bool:
        """After a 401: True when a fresh token may be tried."""
        challenges = _all(answer.headers, "WWW-Authenticate")
        return self._is_ours(answer.url) and self._auth.renew(
            scopes, answer.authorization, challenges
        )

    def _resolve(self, target: str, base: str | None = None) -> str:
        """An absolute URL for a path or a Location. A registry behind a proxy that ends TLS may
        hand out http addresses of itself: those are asked by https, as all of it is."""
        url = urljoin(base or self.origin(), target)
        parts, origin = urlsplit(url), urlsplit(self.origin())
        if parts.scheme == "http" and origin.scheme == "https":
            if parts.netloc.removesuffix(":80") != origin.netloc.removesuffix(":443"):
                raise RegistryError(
                    f"{self.host} sends us to an address without TLS", seen=without_query(url)
                )
            return parts._replace(scheme="https", netloc=origin.netloc).geturl()
        return url

    def _is_ours(self, url: str) -> bool:
        parts, origin = urlsplit(url), urlsplit(self.origin())
        return (parts.scheme, parts.netloc) == (origin.scheme, origin.netloc)

    def origin(self) -> str:
        """`https://host`, found by the first request, which also learns how to log in."""
        with self._lock:
            if self._origin is None:
                self._origin = self._find_origin()
            return self._origin

    def _find_origin(self) -> str:
        host = "registry-1.docker.io" if self.host == "docker.io" else self.host
        schemes = ("http",) if self._access.plain_http else ("https",)
        if schemes == ("https",) and is_loopback(host):
            schemes = ("https", "http")
        problems: list[RegistryError] = []
        for scheme in schemes:
            origin = f"{scheme}://{host}"
            try:
                answer = self._wire.exchange("GET", f"{origin}/v2/", {})
            except RegistryError as error:
                problems.append(error)
                continue
            if answer.status == 401:
                self._auth.learn(_all(answer.headers, "WWW-Authenticate"))
            elif answer.status != 200:
                raise refusal(answer, "answer as a registry does (GET /v2/)", self.who)
            return origin
        raise problems[-1]


def _all(headers: Mapping[str, str], name: str) -> list[str]:
    if isinstance(headers, urllib3.HTTPHeaderDict):
        return headers.getlist(name)
    return [headers[name]] if name in headers else []
