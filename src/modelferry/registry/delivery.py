"""Blobs into one repository: what is there stays, what the registry has elsewhere is mounted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from modelferry.values import Digest, format_bytes

if TYPE_CHECKING:
    from modelferry.registry.client import Registry
    from modelferry.registry.upload import Blob

log = logging.getLogger("modelferry.registry")

_NOWHERE: Mapping[Digest, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Thread-safe. `sources`: the repositories of the registry where a blob is, too."""

    registry: Registry
    repository: str
    sources: Mapping[Digest, str] = field(default_factory=lambda: _NOWHERE)

    def send(self, blob: Blob, on_sent: Callable[[int], None]) -> bool:
        """False when nothing had to go over the wire."""
        digest, size = blob.digest, format_bytes(blob.size_bytes)
        if self.registry.has_blob(self.repository, digest, blob.size_bytes):
            log.info("%s %s is there", digest, size)
            return False
        source = self.sources.get(digest)
        if source and self.registry.mount_blob(self.repository, digest, source):
            log.info("%s %s mounted from %s", digest, size, source)
            return False
        self.registry.upload_blob(self.repository, blob, on_sent)
        log.info("%s %s pushed", digest, size)
        return True
