"""How to reach a registry."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from modelferry.values import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryAccess:
    host: str  # login server, host[:port]
    username: str | None
    password: Secret | None
    plain_http: (
        bool  # insecure-registry; loopback addresses fall back to it by themselves, as Docker does
    )


def is_loopback(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
