"""Which port the app listens on."""

from __future__ import annotations

import json
import re

from modelferry.errors import TestsFailed

_EXPOSE = re.compile(r"\bEXPOSE\b(.*)")
_TCP_PORT = re.compile(r"(?<![\w/])(\d{1,5})(?:/tcp)?(?![\w/])")


def app_port(given: int | None, config: bytes) -> int:
    """The `port` input, else the first EXPOSEd of the image config (OCI image-spec, config.md)."""
    if given is not None:
        return given
    exposed = exposed_ports(config)
    if exposed:
        return exposed[0]
    raise TestsFailed(
        "the app's port is not known: the image EXPOSEs none and the input `port` is empty",
        do="Set `port`, or write EXPOSE in the Dockerfile.",
    )


def exposed_ports(config: bytes) -> tuple[int, ...]:
    """TCP ports in the Dockerfile's order, which only the history keeps: the config sorts them."""
    document = json.loads(config)
    names = (document.get("config") or {}).get("ExposedPorts") or {}
    exposed = sorted(
        int(number)
        for number, _, protocol in (name.partition("/") for name in names)
        if protocol in ("", "tcp")
    )
    told = [
        int(number)
        for entry in document.get("history") or ()
        for written in _EXPOSE.findall(entry.get("created_by", ""))
        for number in _TCP_PORT.findall(written)
    ]
    return tuple(sorted(exposed, key=lambda port: told.index(port) if port in told else len(told)))
