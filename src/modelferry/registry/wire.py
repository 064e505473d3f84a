"""One HTTP exchange over kept connections: its time limits, its proxy, what goes wrong in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import HTTPError, SSLError

from modelferry import __version__
from modelferry.errors import RegistryError
from modelferry.registry.answers import Answer, without_query

LARGEST_BODY = 16 << 20  # of an answer that is kept whole: a manifest, a config, a range
_CONNECT_S = 10.0
_SEND_S = 30.0  # the most that one write of a body may take, and its connection (urllib3 has one)
_ANSWER_S = 60.0
_CONNECTIONS = 8
_TLS_REFUSALS = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """Content that is produced while it is sent, and can be produced again."""

    size_bytes: int
    produce: Callable[[], Iterator[bytes]]
    answer_s: float = 120.0  # how long the answer to it may take


class Wire:
    """Thread-safe. `host` is the registry's, for messages."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._pools: dict[str | None, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | bytes | None = None,
    ) -> Answer:
        """RegistryError when nothing came, or only a part of the answer."""
        sent = {"User-Agent": f"modelferry/{__version__}", **headers}
        content: bytes | Iterable[bytes] | None = body if not isinstance(body, Body) else None
        if isinstance(body, Body):
            sent["Content-Length"] = str(body.size_bytes)  # never chunked: some refuse that
            content = body.produce()
        limits = (
            urllib3.Timeout(connect=_SEND_S, read=body.answer_s)
            if isinstance(body, Body)
            else urllib3.Timeout(connect=_CONNECT_S, read=_ANSWER_S)
        )
        try:
            response = self._pool(url).request(
                method,
                url,
                body=content,
                headers=sent,
                redirect=False,
                preload_content=False,
                timeout=limits,
            )
            data = _read(response)
        except (HTTPError, OSError) as error:
            raise _unreachable(self._host, method, url, error) from error
        return Answer(
            method=method, url=url, status=response.status, headers=response.headers, body=data
        )

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxy = None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
        with self._lock:
            if proxy not in self._pools:
                settings = {"maxsize": _CONNECTIONS, "retries": False}
                self._pools[proxy] = (
                    urllib3.ProxyManager(proxy, **settings)
                    if proxy
                    else urllib3.PoolManager(**settings)
                )
            return self._pools[proxy]


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    try:
        data = response.read(LARGEST_BODY)
        whole = not response.read(1)
    except BaseException:
        response.close()
        raise
    if whole:
        response.release_conn()
    else:
        response.close()  # what is left of it would be taken for the next answer
    return data


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
