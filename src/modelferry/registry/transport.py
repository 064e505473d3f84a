"""HTTP to one registry: which scheme, who asks, what is tried again, where a request may go."""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import HTTPError, SSLError

from modelferry import __version__
from modelferry.errors import Cancelled, RegistryError
from modelferry.registry.access import RegistryAccess
from modelferry.registry.answers import Answer, refusal, without_query
from modelferry.registry.keychain import Credentials
from modelferry.registry.tokens import Authorizer, Scopes
from modelferry.retry import retry

log = logging.getLogger("modelferry.registry")

TRIES = 7  # half a minute in all: long enough for a registry to restart
FIRST_TRIES = 3
_TIMEOUT = urllib3.Timeout(connect=20, read=300)  # a registry may move gigabytes before it answers
_CONNECTIONS = 8
_LARGEST_BODY = 16 << 20
_TLS_REFUSALS = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """Content that is produced while it is sent, and can be produced again."""

    size_bytes: int
    produce: Callable[[], Iterator[bytes]]


class Transport:
    def __init__(self, access: RegistryAccess, credentials: Credentials | None) -> None:
        self.host = access.host
        self.who = f"as {credentials}" if credentials else "without a login"
        self._access = access
        self._pools: dict[str | None, urllib3.PoolManager] = {}
        self._origin: str | None = None
        self._stopped = threading.Event()
        self._lock = threading.Lock()  # of the origin
        self._pool_lock = threading.Lock()
        self._auth = Authorizer(
            credentials,
            self._ask_for_token,
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
        asked_wait_s = 0.0

        def once() -> Answer:
            nonlocal asked_wait_s
            answer = self.send(method, target, scopes=scopes, headers=headers, body=body)
            if answer.status == 401 and self.renew(scopes, answer):
                answer = self.send(method, target, scopes=scopes, headers=headers, body=body)
            if answer.status in expect:
                return answer
            asked_wait_s = answer.retry_after_s
            raise refusal(answer, doing, self.who)

        return retry(once, tries=TRIES, sleep=lambda wait_s: self.pause(max(wait_s, asked_wait_s)))

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
            sent = dict(headers or {})
            if ours and (authorization := self._auth.header(scopes)):
                sent["Authorization"] = authorization
            answer = replace(
                self._exchange(method, url, sent, body), authorization=sent.get("Authorization")
            )
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
                self._origin = retry(self._find_origin, tries=FIRST_TRIES, sleep=self.pause)
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
                answer = self._exchange("GET", f"{origin}/v2/", {}, None)
            except RegistryError as error:
                problems.append(error)
                continue
            if answer.status == 401:
                self._auth.learn(_all(answer.headers, "WWW-Authenticate"))
            elif answer.status != 200:
                raise refusal(answer, "answer as a registry does (GET /v2/)", self.who)
            return origin
        raise problems[-1]

    def _ask_for_token(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> Answer:
        def once() -> Answer:
            answer = self._exchange(method, url, headers, body)
            if answer.temporary:
                raise refusal(answer, "give a token", self.who)
            return answer

        return retry(once, tries=FIRST_TRIES, sleep=self.pause)

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | bytes | None
    ) -> Answer:
        self.check_stopped()
        sent = {"User-Agent": f"modelferry/{__version__}", **headers}
        content: bytes | Iterable[bytes] | None = body if not isinstance(body, Body) else None
        if isinstance(body, Body):
            sent["Content-Length"] = str(body.size_bytes)  # never chunked: some refuse that
            content = body.produce()
        try:
            response = self._pool(url).request(
                method, url, body=content, headers=sent, redirect=False, preload_content=False
            )
            try:
                data = response.read(_LARGEST_BODY)
            except BaseException:
                response.close()
                raise
            response.release_conn()
        except (HTTPError, OSError) as error:
            raise _unreachable(self.host, method, url, error) from error
        return Answer(
            method=method, url=url, status=response.status, headers=response.headers, body=data
        )

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxy = None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
        with self._pool_lock:
            if proxy not in self._pools:
                settings = {"maxsize": _CONNECTIONS, "timeout": _TIMEOUT, "retries": False}
                self._pools[proxy] = (
                    urllib3.ProxyManager(proxy, **settings)
                    if proxy
                    else urllib3.PoolManager(**settings)
                )
            return self._pools[proxy]


def is_loopback(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _all(headers: Mapping[str, str], name: str) -> list[str]:
    if isinstance(headers, urllib3.HTTPHeaderDict):
        return headers.getlist(name)
    return [headers[name]] if name in headers else []


def _unreachable(host: str, method: str, url: str, error: Exception) -> RegistryError:
    seen = f"{method} {without_query(url)}: {error}"
    if isinstance(error, SSLError) and any(sign in str(error) for sign in _TLS_REFUSALS):
        return RegistryError(
            f"TLS to the registry {host} failed",
            seen=seen,
            do="Trust the registry's certificate authority on this machine (SSL_CERT_FILE), or set "
            "`insecure-registry: true` for one without TLS on a private network.",
        )
    return RegistryError(
        f"The registry {host} cannot be reached",
        seen=seen,
        do="Check `registry`, and that this machine may reach it (firewall, proxy, DNS).",
        temporary=True,
    )
