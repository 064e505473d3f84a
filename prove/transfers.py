"""Bytes on their way to the registry, and what may happen to them there."""

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from modelferry.registry.access import RegistryAccess
from modelferry.registry.client import Registry
from modelferry.values import Digest, Secret
from prove.proof import Outcome, Play, Proof, right, wrong

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes:
    data: bytes

    @property
    def digest(self) -> Digest:
        return Digest(f"sha256:{hashlib.sha256(self.data).hexdigest()}")

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def read(self, start: int, stop: int) -> bytes:
        return self.data[start:stop]


def random_blob(seed: str, size_bytes: int) -> Bytes:
    return Bytes(data=hashlib.shake_256(seed.encode()).digest(size_bytes))


@contextmanager
def _undisturbed(env: Mapping[str, str]) -> Iterator[Play]:
    access = RegistryAccess(
        host=env["TESTBED_REGISTRY"],
        username=env["TESTBED_REGISTRY_USERNAME"],
        password=Secret(env["TESTBED_REGISTRY_PASSWORD"]),
        plain_http=True,
    )
    registry, repository = Registry(access, {}), f"prove-{uuid.uuid4().hex[:8]}"

    def play(number: int) -> Outcome:
        blob = random_blob(f"{repository} {number}", 2 * MIB + number)
        sent: list[int] = []
        registry.upload_blob(repository, blob, sent.append)
        if registry.read_blob(repository, blob.digest) != blob.data:
            return wrong("other bytes came back")
        return right(resent_bytes=sum(sent) - blob.size_bytes)

    yield play


PROOFS = (Proof(name="transfers.undisturbed", open=_undisturbed, rounds=20),)
