"""How every source reaches its storage: timeouts, and the proxy that the environment asks for."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import (
    getproxies_environment,
    proxy_bypass_environment,  # pyright: ignore[reportAttributeAccessIssue] - not in typeshed
)

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 20.0  # without a byte
REQUEST_TIMEOUT_S = 180.0  # a whole part of a few MiB, on a very slow line


def proxy_for(url: str) -> str | None:
    """HTTP(S)_PROXY and NO_PROXY as curl reads them: names, suffixes, host:port, and CIDR too."""
    proxies = getproxies_environment()
    parts = urlsplit(url)
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass_environment(parts.netloc, proxies):
        return None
    if _in_networks(parts.hostname or "", proxies.get("no", "")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def client_options(url: str) -> ClientConfig:
    """obstore's, for the storage at `url`. The proxy is decided here, not by obstore: it knows no
    ports in NO_PROXY, and takes a proxy from the environment unless it is told of one.
    """
    options: ClientConfig = {
        "allow_http": url.startswith("http://"),
        "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
        "read_timeout": timedelta(seconds=READ_TIMEOUT_S),
        "timeout": timedelta(seconds=REQUEST_TIMEOUT_S),
    }
    if proxy := proxy_for(url):
        options["proxy_url"] = proxy
    elif proxies := getproxies_environment():
        options["proxy_url"] = next(iter(proxies.values()))
        options["proxy_excludes"] = urlsplit(url).hostname or ""
    return options


def retry_config() -> RetryConfig:
    """None in obstore: one layer retries, and that is modelferry.retry."""
    return {"max_retries": 0, "retry_timeout": timedelta(seconds=REQUEST_TIMEOUT_S)}


def _in_networks(host: str, no_proxy: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in no_proxy.split(","):
        if "/" in entry:
            try:
                if address in ipaddress.ip_network(entry.strip(), strict=False):
                    return True
            except ValueError:
                continue  # not a network: some other form, which curl would pass over too
    return False
