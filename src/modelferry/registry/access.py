"""How to reach a registry."""

from __future__ import annotations

from dataclasses import dataclass

from modelferry.values import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryAccess:
    host: str  # login server, host[:port]
    username: str | None
    password: Secret | None
    plain_http: (
        bool  # insecure-registry; loopback addresses fall back to it by themselves, as Docker does
    )
