"""GET of one range of a stored object: what reads of Blob and S3 share below their signatures.

Not by obstore: here the kernel writes into the very bytes that are handed on, and connections are
kept. That costs half of obstore's processor time, which is what reading from near is bound by.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote, urlencode

import urllib3

from modelferry.sources.connection import proxy_for
from modelferry.sources.refusal import Refusal, read_answer
from modelferry.sources.web import pool, timeout

# (address, headers) -> both with the credential in them. Anew for each request: it holds a time.
Sign = Callable[[str, Mapping[str, str]], tuple[str, Mapping[str, str]]]

CONNECTIONS = 32  # at most: the smallest parts that a window of 64 MiB holds
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_READ_OF_REFUSALS = 64 * 1024


class SignedGets:
    def __init__(self, folder: str, query: Mapping[str, str], sign: Sign) -> None:
        """`folder`: the address of the container or bucket; `query`: of each request."""
        self._folder, self._query, self._sign = folder, urlencode(query, quote_via=quote), sign
        self._pool: urllib3.PoolManager | None = None
        self._lock = threading.Lock()

    @contextmanager
    def asked(self, key: str, headers: Mapping[str, str]) -> Iterator[urllib3.BaseHTTPResponse]:
        """Whatever was answered, its body unread. Raises urllib3's HTTPError."""
        url = f"{self._folder}/{quote(key, safe='/~')}"
        signed = self._sign(f"{url}?{self._query}" if self._query else url, headers)
        answer = self._connections().request(
            "GET",
            signed[0],
            headers={"Accept-Encoding": "identity", "User-Agent": "modelferry", **signed[1]},
            preload_content=False,
            decode_content=False,
            redirect=False,
            retries=False,  # one layer repeats: ours
            timeout=timeout(),
        )
        try:
            yield answer
        finally:
            answer.close()  # a body read to its end has given its connection back before

    def _connections(self) -> urllib3.PoolManager:
        with self._lock:
            self._pool = self._pool or pool(proxy_for(self._folder), CONNECTIONS)
            return self._pool


def refusal_of(answer: urllib3.BaseHTTPResponse) -> Refusal:
    body = answer.read(_READ_OF_REFUSALS).decode(errors="replace")
    return read_answer(answer.status, answer.headers, body)


def range_of(answer: urllib3.BaseHTTPResponse) -> tuple[int, int, int] | None:
    """Start and stop of what came, and the size of the whole object; None where it is no range."""
    found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if answer.status != 206 or not found:
        return None
    return int(found[1]), int(found[2]) + 1, int(found[3])
