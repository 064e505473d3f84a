"""Primitives that are parsed once, at the edge, and never again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import NewType

Digest = NewType("Digest", str)  # "sha256:" and 64 hex digits

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_HOST = re.compile(
    r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?"
)
# OCI runtime-spec, config-linux.md, "Default Filesystems"; the files are Docker's and Kubernetes'.
_MOUNTED = tuple(
    map(
        PurePosixPath,
        ("/proc", "/sys", "/dev", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"),
    )
)
WHITEOUT = ".wh."  # a layer's entry of such a name deletes others (image-spec, layer.md)
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that never shows itself: print it, format it, log it, and it reads `***`."""

    _value: str

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __str__(self) -> str:
        return "***" if self._value else ""

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


def digest_of(data: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")


def parse_digest(text: str) -> Digest:
    if not _DIGEST.fullmatch(text):
        raise ValueError(f"{text!r} is no digest: sha256: and 64 lower-case hex digits")
    return Digest(text)


def uncoloured(text: str) -> str:
    """A program's words as an error tells them, in a report and a summary too (ECMA-48, 5.4)."""
    return _CONTROL.sub("", text)


def is_utf8(text: str) -> bool:
    """False for what a file name or the environment held that was none (PEP 383)."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def mounted_over(path: PurePosixPath) -> PurePosixPath | None:
    """What container runtimes mount over every image at this path or above it."""
    return next((each for each in _MOUNTED if path.is_relative_to(each)), None)


def is_tag(text: str) -> bool:
    return bool(_TAG.fullmatch(text))


def is_repository(text: str) -> bool:
    return len(text) <= 255 and bool(_REPOSITORY.fullmatch(text))


def is_registry_host(text: str) -> bool:
    return bool(_HOST.fullmatch(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRef:
    """An image reference as Docker and Kubernetes read it (distribution/reference grammar)."""

    registry: str  # login server, "docker.io" where none is written
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> ImageRef:
        """Raises ValueError naming the part that is wrong."""
        rest, at, digest = text.partition("@")
        name, colon, tag = rest.rpartition(":")
        if not colon or "/" in tag:  # the colon belongs to a port, or there is none
            name, tag = rest, ""
        first, slash, remainder = name.partition("/")
        if slash and (
            "." in first or ":" in first or first == "localhost" or first.startswith("[")
        ):
            registry, repository = first, remainder
        else:
            registry, repository = "docker.io", name
        if registry in ("docker.io", "index.docker.io"):
            registry = "docker.io"
            repository = repository if "/" in repository else f"library/{repository}"
        if not is_registry_host(registry):
            raise ValueError(f"{text!r}: {registry!r} is no registry address")
        if not is_repository(repository):
            raise ValueError(f"{text!r}: {repository!r} is no image name (lower case, / . _ -)")
        if colon and tag and not is_tag(tag):
            raise ValueError(f"{text!r}: {tag!r} is no tag")
        if rest.endswith(":"):
            raise ValueError(f"{text!r}: the tag is empty")
        return cls(
            registry=registry,
            repository=repository,
            tag=tag or None,
            digest=parse_digest(digest) if at else None,
        )

    @property
    def name(self) -> str:
        """registry/repository, what two references to the same image share."""
        return f"{self.registry}/{self.repository}"

    def pinned(self, digest: Digest) -> ImageRef:
        return replace(self, tag=None, digest=digest)

    def tagged(self, tag: str) -> ImageRef:
        return replace(self, tag=tag, digest=None)

    def __str__(self) -> str:
        return (
            self.name
            + (f":{self.tag}" if self.tag else "")
            + (f"@{self.digest}" if self.digest else "")
        )


def parse_duration(text: str) -> float:
    """Seconds from `90s`, `10m`, `1h30m`; raises ValueError. A bare number has no unit to guess."""
    if not re.fullmatch(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+", text):
        raise ValueError(f"{text!r} is no duration")
    return sum(
        float(number) * _DURATION_UNITS[unit]
        for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    )


def format_duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def format_names(names: Sequence[str], *, most: int = 10) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def format_bytes(count: float) -> str:
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} TiB"
