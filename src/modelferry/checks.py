"""`checks`: HTTP requests that must be answered as the user says. Used on the built container
before the push and on the new pods after a deploy, through whatever channel reaches them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from modelferry.errors import Fault

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

_FORM = "METHOD PATH [@FILE, NAME=@FILE or JSON] [=> STATUS] [contains TEXT]"
_STATUS = re.compile(r"(?:(?P<left>.*)\s)?=>\s+(?P<status>\d+)(?:\s+contains\s+(?P<text>.+))?")
_CONTAINS = re.compile(r"(?:(?P<left>.*?)\s)??contains\s+(?P<text>.+)")
_FILE = re.compile(r"(?:(?P<part>[^\s=@]+)=)?@(?P<file>\S.*)")


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


def parse_checks(text: str) -> tuple[tuple[Check, ...], tuple[Fault, ...]]:
    """The checks that could be read, and a fault with its line's number for each that could not."""
    checks: list[Check] = []
    faults: list[Fault] = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if not line.strip():
            continue
        try:
            checks.append(parse_check(number, line.strip()))
        except ValueError as error:
            faults.append(Fault(name=f"checks line {number}", given=line, allowed=str(error)))
    return tuple(checks), tuple(faults)


def parse_check(number: int, text: str) -> Check:
    """Raises ValueError with what is allowed."""
    method, _, after_method = text.partition(" ")
    path, _, rest = after_method.strip().partition(" ")
    if method not in METHODS:
        raise ValueError(f"{method!r} is none of {', '.join(METHODS)}; a line is {_FORM}")
    if not path.startswith("/") or not path.isascii() or not path.isprintable():
        raise ValueError(f"{path!r} is no path: it starts with / and is percent-encoded")
    body, tail = _json_body(rest.strip())
    if body is None:
        left, status, contains = _expected(tail)
        file, part = _file_body(left) if left else (None, None)
    else:
        left, status, contains = _expected(tail)
        file, part = None, None
        if left:
            raise ValueError(f"{left!r} after the JSON: expected => STATUS or contains TEXT")
    if (body or file) and method in ("GET", "HEAD"):
        raise ValueError(f"a {method} request has no body: use POST, PUT or PATCH")
    if contains and method == "HEAD":
        raise ValueError("the answer to HEAD has no body that could contain a text")
    return Check(
        line=number,
        text=text,
        method=method,
        path=path,
        file=file,
        part=part,
        json=body,
        status=status,
        contains=contains,
    )


def _json_body(rest: str) -> tuple[str | None, str]:
    """A leading JSON value as written, and what follows it."""
    if not rest or rest.startswith(("=>", "@", "contains ")):
        return None, rest
    try:
        _, end = json.JSONDecoder(parse_constant=_no_constant).raw_decode(rest)
    except (json.JSONDecodeError, RecursionError) as error:
        if rest.startswith(("{", "[", '"')):
            raise ValueError(f"the JSON cannot be read: {error}") from None
        return None, rest
    if rest[end : end + 1].strip():
        raise ValueError(f"{rest[end:]!r} after the JSON: expected => STATUS or contains TEXT")
    return rest[:end], rest[end:].strip()


def _expected(text: str) -> tuple[str, int | None, str | None]:
    """What stands before `=> STATUS` and `contains TEXT`, and those two."""
    if match := _STATUS.fullmatch(text):
        status = int(match["status"])
        if not 100 <= status <= 599:
            raise ValueError(f"the status {status} is none: 100 to 599")
        left = match["left"] or ""
        if _CONTAINS.fullmatch(left):
            raise ValueError("contains TEXT stands after => STATUS")
        return left.strip(), status, match["text"]
    match = _CONTAINS.fullmatch(text)
    left = (match["left"] or "") if match else text
    if re.search(r"(?:^|\s)=>(?:\s|$)", left):
        raise ValueError("after => there must be a status such as 200")
    return left.strip(), None, match["text"] if match else None


def _file_body(text: str) -> tuple[Path, str | None]:
    match = _FILE.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is neither @FILE, NAME=@FILE nor JSON; a line is {_FORM}")
    return Path(match["file"]), match["part"]


def _no_constant(name: str) -> object:
    raise json.JSONDecodeError(f"{name} is no JSON", name, 0)
