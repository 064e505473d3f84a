"""What stands in a release's Lease: who holds it, who waits for it, and their signs of life."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from modelferry.cluster.resources import LEASES
from modelferry.rollout.changes.marks import OURS
from modelferry.rollout.release.stale import Intent

Object = Mapping[str, Any]

LIFE_S = 50.0
BEAT_S = 2.0  # so often a holder renews, and one that waits says so again
NEXT = OURS + "next"
RUN = OURS + "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One process of one run. Two jobs of a run may want the same release."""

    intent: Intent
    token: str

    @classmethod
    def of(cls, intent: Intent) -> Claim:
        return cls(intent=intent, token=secrets.token_hex(4))

    @classmethod
    def parse(cls, text: str) -> Claim:
        intent, _, token = text.partition(" ")
        return cls(intent=Intent.parse(intent), token=token)

    def __str__(self) -> str:
        return f"{self.intent} {self.token}"


def lease(path: tuple[str, str], claim: Claim) -> Object:
    """A new one, held."""
    name, namespace = path
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": {RUN: str(claim.intent)},
        },
        "spec": spec(claim),
    }


def spec(claim: Claim) -> Object:
    return {
        "holderIdentity": str(claim),
        "leaseDurationSeconds": int(LIFE_S),
        "acquireTime": now(),
        "renewTime": now(),
    }


def holder(found: Object) -> Claim | None:
    text = (found.get("spec") or {}).get("holderIdentity")
    return Claim.parse(text) if text else None


def last(found: Object) -> Intent | None:
    """The run that held it last, which may be over by now."""
    text = (found["metadata"].get("annotations") or {}).get(RUN)
    return Intent.parse(text) if text else None


def renewed(found: Object) -> str:
    return str((found.get("spec") or {}).get("renewTime"))


def waiting(found: Object) -> Claim | None:
    text = (found["metadata"].get("annotations") or {}).get(NEXT)
    return Claim.parse(text.rpartition(" ")[0]) if text else None


def beat(found: Object) -> str:
    return (found["metadata"].get("annotations") or {}).get(NEXT, "").rpartition(" ")[2]


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def age(stamp: str) -> timedelta:
    try:
        return datetime.now(UTC) - datetime.fromisoformat(stamp)
    except ValueError:
        return timedelta(0)
