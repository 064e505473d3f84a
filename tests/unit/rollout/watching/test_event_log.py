from __future__ import annotations

from modelferry.rollout.watching.event_log import telling


def event(reason: str, at: str) -> dict[str, object]:
    return {"reason": reason, "lastTimestamp": at, "metadata": {}}


def test_what_every_rollout_does_explains_no_failure() -> None:
    """A Deployment's events of an hour are mostly of earlier releases: they would hide the rest."""
    refused = event("FailedCreate", "2026-01-01T00:00:02Z")
    unbound = event("ExternalProvisioning", "2026-01-01T00:00:01Z")
    scaled = event("ScalingReplicaSet", "2026-01-01T00:00:03Z")
    assert telling([refused, scaled, unbound]) == [unbound, refused]
