"""Sends the `checks` to a base URL and says how each was answered. The caller decides what a
failed one means: tests that failed before the push, a rollout that failed after it."""

from __future__ import annotations

import logging
import mimetypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from modelferry.checks import Check
from modelferry.progress import heartbeat
from modelferry.values import format_duration

log = logging.getLogger("modelferry.checks")

CONNECT_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = 60.0  # a first prediction may load the model
POLL_EVERY_S = 0.5
LONGEST_BODY = 1024 * 1024  # of an answer; `contains` looks no further
EXCERPT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    check: Check
    passed: bool
    status: int | None  # None: no answer came
    excerpt: str  # of the answer's body, or why there is none
    seconds: float

    def __str__(self) -> str:
        answered = "no answer" if self.status is None else str(self.status)
        line = f"{self.check.method} {self.check.path} → {answered}"
        if self.passed:
            return f"{line} in {format_duration(self.seconds)}"
        return f"{line}, wanted {wanted(self.check)}: {self.excerpt or '(empty)'}"


def wanted(check: Check) -> str:
    status = "any 2xx" if check.status is None else str(check.status)
    return status if check.contains is None else f"{status} containing {check.contains!r}"


def run_checks(
    checks: tuple[Check, ...],
    base_url: str,
    *,
    workspace: Path,
    start_timeout_s: float,
    as_user: bool = False,
    still_up: Callable[[], None] = lambda: None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[CheckResult, ...]:
    """Every check in order, each once; only the first is sent again until it is answered as
    wanted or `start_timeout_s` is over. `still_up` raises to end that wait early. Redirects are
    not followed: the status is what the app itself said.

    `as_user`: by the runner's proxy where there is one, and each is sent again: a name, a load
    balancer and a route come one after another.
    """
    until = clock() + start_timeout_s
    results: list[CheckResult] = []
    with _pool(base_url if as_user else "") as pool:
        for check in checks:
            result = _send(pool, check, base_url, workspace)
            with heartbeat(lambda: f"asking again: {result}"):  # noqa: B023 - the last one
                while not result.passed and (as_user or not results) and clock() < until:
                    still_up()
                    sleep(POLL_EVERY_S)
                    result = _send(pool, check, base_url, workspace)
            log.info("%s %s", "✓" if result.passed else "✗", result)
            results.append(result)
    return tuple(results)


def _pool(url: str) -> urllib3.PoolManager:
    """By the proxy that the environment names for this address, else directly."""
    address = urlsplit(url)
    proxy = getproxies().get(address.scheme)
    if proxy is None or proxy_bypass(address.hostname or ""):
        return urllib3.PoolManager(retries=False)
    login = urlsplit(proxy)
    headers = {}
    if login.username:
        pair = f"{unquote(login.username)}:{unquote(login.password or '')}"
        headers = urllib3.make_headers(proxy_basic_auth=pair)
    return urllib3.ProxyManager(proxy, proxy_headers=headers, retries=False)


def _send(pool: urllib3.PoolManager, check: Check, base_url: str, workspace: Path) -> CheckResult:
    started = time.monotonic()
    status, body = None, ""
    try:
        status, body = _answer(pool, check, base_url, workspace)
    except urllib3.exceptions.HTTPError as error:
        body = f"{type(error).__name__}: {error}"
    return CheckResult(
        check=check,
        passed=status is not None and _is_wanted(check, status, body),
        status=status,
        excerpt=" ".join(body[:EXCERPT].split()),
        seconds=time.monotonic() - started,
    )


def _answer(
    pool: urllib3.PoolManager, check: Check, base_url: str, workspace: Path
) -> tuple[int, str]:
    content_type, body = _body(check, workspace)
    response = pool.request(
        check.method,
        f"{base_url.rstrip('/')}/{check.path.lstrip('/')}",
        body=body,
        headers={"User-Agent": "modelferry"} | content_type,
        timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=REQUEST_TIMEOUT_S),
        redirect=False,
        preload_content=False,
    )
    try:
        return response.status, _read_some(response).decode(errors="replace")
    finally:
        response.close()


def _read_some(response: urllib3.BaseHTTPResponse) -> bytes:
    """At most LONGEST_BODY, and no longer than one request may take: a stream may never end."""
    until = time.monotonic() + REQUEST_TIMEOUT_S
    body = bytearray()
    while len(body) < LONGEST_BODY and time.monotonic() < until:
        chunk = response.read1(64 * 1024)
        if not chunk:
            break
        body += chunk
    return bytes(body[:LONGEST_BODY])


def _body(check: Check, workspace: Path) -> tuple[dict[str, str], bytes | None]:
    if check.json is not None:
        return {"Content-Type": "application/json"}, check.json.encode()
    if check.file is None:
        return {}, None
    content = (workspace / check.file).read_bytes()
    kind = mimetypes.guess_type(check.file.name)[0] or "application/octet-stream"
    if check.part is None:
        return {"Content-Type": kind}, content
    form, form_kind = urllib3.encode_multipart_formdata(
        {check.part: (check.file.name, content, kind)}
    )
    return {"Content-Type": form_kind}, form


def _is_wanted(check: Check, status: int, body: str) -> bool:
    right = 200 <= status < 300 if check.status is None else status == check.status
    return right and (check.contains is None or check.contains in body)
