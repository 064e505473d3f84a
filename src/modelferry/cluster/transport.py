"""HTTP to the API server: one place for credentials, time limits and what each refusal means."""

from __future__ import annotations

import json
import math
import socket
import ssl
import threading
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from socket import IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET
from typing import Any
from urllib.parse import urlencode

import urllib3
from kubernetes.client import ApiClient, Configuration
from urllib3.exceptions import HTTPError, LocationParseError, MaxRetryError

from modelferry.cluster.kubeconfig import Credentials
from modelferry.errors import FerryError, IdentityError, RolloutError

Query = Sequence[tuple[str, str]]

_CONNECT_S = 10.0
READ_S = 40.0  # above the 30 s in which the API server gives up on an admission webhook
_TEMPORARY = (429, 500, 502, 503, 504)
# Some of what is wrong with a manifest is an internal error to the API server, and the same again.
_FOR_GOOD = ("failed to create typed", "failed to create manager", "failed to convert")
_PREFERENCES = (("User-Agent", "modelferry"), ("Accept", "application/json"))


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of a refusal's details: a field and what is wrong there."""

    reason: str
    field: str
    message: str


class Refused(RolloutError):
    """The API server answered no. `reason` is the API's word: NotFound, Conflict, Invalid…"""

    def __init__(
        self,
        what: str,
        *,
        code: int,
        status: dict[str, Any],
        do: str = "",
        retry_after_s: float = 0.0,
    ) -> None:
        self.code = code
        self.retry_after_s = retry_after_s
        self.reason = str(status.get("reason", ""))
        self.message = str(status.get("message", ""))
        self.causes = tuple(
            Cause(
                cause.get("reason", ""), cause.get("field", ""), " ".join(cause["message"].split())
            )
            for cause in (status.get("details") or {}).get("causes") or ()
            if cause.get("message")
        )
        # A webhook that failed was waited for by the server already; again would take as long.
        lasts = any(said in self.message for said in ("webhook", *_FOR_GOOD))
        temporary = code in _TEMPORARY and not lasts
        super().__init__(what, do=do, temporary=temporary)


class Transport:
    """Thread-safe: urllib3 pools connections, and a token is renewed by one caller at a time."""

    def __init__(self, credentials: Credentials) -> None:
        self._client = ApiClient(configuration=credentials.configuration)
        self._pool: urllib3.PoolManager = self._client.rest_client.pool_manager
        _share_tls(self._pool, credentials.configuration)
        _notice_dead_peers(self._pool)
        self._lock = threading.Lock()
        self.away_at = -math.inf  # when it last did not answer, as time.monotonic() has it
        self.origin = credentials.origin
        self.server = str(credentials.configuration.host).rstrip("/")

    @property
    def configuration(self) -> Any:
        return self._client.configuration

    def headers(self) -> dict[str, str]:
        """With a token that is valid now: the SDK renews it when it is asked for."""
        headers = dict(_PREFERENCES)
        with self._lock:
            self._client.update_params_for_auth(headers, [], ["BearerToken"], "", "", None)
        return headers

    def json(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Any = None,
        content_type: str = "application/json",
        read_s: float = READ_S,
        connect_s: float = _CONNECT_S,
    ) -> dict[str, Any]:
        payload = None if body is None else json.dumps(body).encode()
        with self.open(
            method,
            path,
            query=query,
            body=payload,
            content_type=content_type,
            read_s=read_s,
            connect_s=connect_s,
        ) as response:
            return self.parsed(response.data or b"{}")

    def parsed(self, content: bytes) -> dict[str, Any]:
        """What claims to be a success may be the page of a proxy in between."""
        try:
            return json.loads(content)
        except ValueError as error:
            said = " ".join(content.decode(errors="replace").split())[:300]
            raise RolloutError(
                f"the cluster at {self.server} answered something that is no JSON",
                seen=said,
                do="Look for a proxy or gateway in between that answers in its place.",
                temporary=True,
            ) from error

    def exchange(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        read_s: float,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body, whatever the status: for what answers behind the server."""
        try:
            response = self._pool.request(
                method,
                f"{self.server}{path}",
                body=body,
                headers={**self.headers(), **headers},
                timeout=urllib3.Timeout(connect=_CONNECT_S, read=read_s),
                retries=False,
                redirect=False,
            )
        except (HTTPError, OSError) as error:
            raise self._unreachable(error) from error
        return response.status, response.headers, response.data

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        read_s: float = READ_S,
        connect_s: float = _CONNECT_S,
    ) -> Generator[urllib3.BaseHTTPResponse]:
        """The response of a success, unread; errors while reading it are translated, too."""
        url = f"{self.server}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = self.headers() | {"Content-Type": content_type, "Accept": accept}
        try:
            response = self._pool.request(
                method,
                url,
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=connect_s, read=read_s),
                retries=False,
                preload_content=False,
            )
            try:
                if response.status >= 400:
                    raise self._refusal(method, path, response)
                yield response
            finally:
                response.close()  # read to its end, the connection is back in the pool already
        except (HTTPError, LocationParseError, OSError) as error:
            raise self._unreachable(error) from error

    def _refusal(self, method: str, path: str, response: urllib3.BaseHTTPResponse) -> FerryError:
        code, status = response.status, _status(response.data)
        if code == 503:
            self.away_at = time.monotonic()
        message = status.get("message") or f"HTTP {code} to {method} {path}"
        if code == 401:
            return IdentityError(
                f"the cluster at {self.server} refused the credential (401)",
                seen=f"It came from {self.origin}. The server said: {message}",
                do="Renew the token or certificate in `kubeconfig`, or choose another"
                " `kube-context`.",
            )
        do = ""
        if code == 403 and status.get("reason") == "Forbidden" and "cannot" in message:
            do = "Give that user the verb on that resource: docs/kubernetes-role.md has a Role."
        wait = response.headers.get("Retry-After", "")
        return Refused(
            f"the cluster refused: {message}",
            code=code,
            status=status,
            do=do,
            retry_after_s=float(wait) if wait.isdecimal() else 0.0,
        )

    def _unreachable(self, error: Exception) -> RolloutError:
        self.away_at = time.monotonic()
        reason = error.reason if isinstance(error, MaxRetryError) and error.reason else error
        return RolloutError(
            f"the cluster at {self.server} does not answer",
            seen=" ".join(str(reason).split()),
            do=f"Check the address, the network and the certificates of {self.origin}.",
            temporary=True,
        )


def _notice_dead_peers(pool: urllib3.PoolManager) -> None:
    """A peer that vanished without a word is noticed within half a minute, not at a time limit."""
    options = [(IPPROTO_TCP, socket.TCP_NODELAY, 1), (SOL_SOCKET, SO_KEEPALIVE, 1)]
    for name, seconds in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):  # Linux
            options.append((IPPROTO_TCP, getattr(socket, name), seconds))
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        options.append((IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 20_000))
    pool.connection_pool_kw["socket_options"] = options


def _share_tls(pool: urllib3.PoolManager, configuration: Configuration) -> None:
    """One finished TLS context for all connections.

    Given file names, urllib3 loads them into the context again for each connection it opens; with
    several threads connecting, OpenSSL reads what another thread is changing and the process dies.
    """
    for name in ("ca_certs", "ca_cert_data", "cert_file", "key_file"):
        pool.connection_pool_kw.pop(name, None)
    pool.connection_pool_kw["ssl_context"] = _tls(configuration)


class _TlsContext(ssl.SSLContext):
    """urllib3 sets ALPN anew at each connection, too: once is enough, for the same reason."""

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        if not getattr(self, "_has_alpn", False):
            super().set_alpn_protocols(alpn_protocols)
            self._has_alpn = True


def _tls(configuration: Configuration) -> ssl.SSLContext:
    context = _TlsContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    # Python 3.13 began to insist on extensions that many a cluster's own CA lacks.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not configuration.verify_ssl:
        context.check_hostname = False
    if configuration.ssl_ca_cert:
        context.load_verify_locations(cafile=configuration.ssl_ca_cert)
    else:
        context.load_default_certs()
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context


def _status(content: bytes) -> dict[str, Any]:
    """The API's Status object; a proxy in between may have answered anything else."""
    try:
        status = json.loads(content)
    except ValueError:
        status = None
    if isinstance(status, dict) and "message" in status:
        return status
    return {"message": " ".join(content.decode(errors="replace").split())[:300]}
