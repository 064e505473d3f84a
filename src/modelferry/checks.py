"""`checks`: HTTP requests that must be answered as the user says. Used on the built container
before the push and on the new pods after a deploy, through whatever channel reaches them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line: METHOD PATH [@FILE, NAME=@FILE or JSON] [=> STATUS] [contains TEXT]."""

    line: int  # counted from 1
    text: str  # as written
    method: str
    path: str
    file: Path | None = None  # the whole body
    part: str | None = None  # with `file`: multipart/form-data field name
    json: str | None = None
    status: int | None = None  # None: any 2xx
    contains: str | None = None
