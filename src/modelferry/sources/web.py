"""GET over https for one address: redirects, proxy, certificates. No credential is ever sent:
what an address may open is in its own query, and that goes to no other host.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from urllib.parse import quote, urljoin, urlsplit

import urllib3

from modelferry.errors import FerryError, ModelError
from modelferry.sources.connection import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, proxy_for
from modelferry.sources.https_refusals import explain_https, read_urllib3
from modelferry.sources.refusal import Refusal, asked_wait_s
from modelferry.sources.spec import ModelLine

CONNECTIONS = 8
_REDIRECTS = 5
_IN_ADDRESSES = "/%:@!$&'()*+,;=~-._"  # what the user wrote encoded stays as it is
_TELLING = (200, 206, 412, 416)  # the statuses that callers understand


class WebAddress:
    def __init__(self, line: ModelLine) -> None:
        self._line = line
        query = f"?{line.query}" if line.query else ""
        self._address = f"https://{line.authority}/{quote(line.key, safe=_IN_ADDRESSES)}{query}"
        self._led_to: str | None = None  # by redirects, for as long as it works
        self._pools: dict[str | None, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def get(self, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """A response with status 200, 206, 412 or 416 and its body unread.

        Where redirects led is remembered: each part of a file would pay for them again. Such
        addresses expire, so after a refusal the first one is asked again.
        """
        if led_to := self._led_to:
            answer = self._get(led_to, headers)
            if answer.status in _TELLING:
                return answer
            answer.close()
            self._led_to = None
        return self._follow(headers)

    def explain(self, error: urllib3.exceptions.HTTPError) -> FerryError:
        host = urlsplit(self._led_to or self._address).netloc
        return explain_https(self._line, read_urllib3(error), host)

    def _follow(self, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        address = self._address
        for _ in range(_REDIRECTS + 1):
            answer = self._get(address, headers)
            if answer.status in _TELLING:
                self._led_to = address if address != self._address else None
                return answer
            answer.close()
            location = answer.get_redirect_location()
            if not location:
                refusal = Refusal(
                    status=answer.status,
                    retry_after_s=asked_wait_s(answer.headers.get("Retry-After", "")),
                )
                raise explain_https(self._line, refusal, _host(address))
            address = urljoin(address, location)
            if urlsplit(address).scheme != "https":
                raise self._astray(f"is redirected to an address without TLS, at {_host(address)}")
        raise self._astray(f"is redirected more than {_REDIRECTS} times, last to {_host(address)}")

    def _astray(self, how: str) -> ModelError:
        return ModelError(
            f"{self._line.uri} {how}", do="Give the address of the file itself in `model`."
        )

    def _get(self, address: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool(address).request(
                "GET",
                address,
                headers={"Accept-Encoding": "identity", "User-Agent": "modelferry", **headers},
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=False,  # one layer repeats: ours
                timeout=timeout(),
            )
        except urllib3.exceptions.HTTPError as error:
            raise explain_https(self._line, read_urllib3(error), _host(address)) from None

    def _pool(self, address: str) -> urllib3.PoolManager:
        proxy = proxy_for(address)
        with self._lock:
            if proxy not in self._pools:
                self._pools[proxy] = pool(proxy, CONNECTIONS)
            return self._pools[proxy]


def _host(address: str) -> str:
    return urlsplit(address).netloc


def pool(proxy: str | None, connections: int) -> urllib3.PoolManager:
    context = ssl.create_default_context()  # the system's certificates, or SSL_CERT_FILE's
    if proxy:
        return urllib3.ProxyManager(proxy, ssl_context=context, maxsize=connections)
    return urllib3.PoolManager(ssl_context=context, maxsize=connections)


def timeout() -> urllib3.Timeout:
    return urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S)
