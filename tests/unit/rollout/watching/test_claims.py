from __future__ import annotations

from typing import Any

import pytest

from modelferry.rollout.watching import claims
from modelferry.rollout.watching.trouble import NEVER, Trouble

POD = {"spec": {"volumes": [{"persistentVolumeClaim": {"claimName": "data"}}, {"emptyDir": {}}]}}
UNBOUND = Trouble(
    cause="it fits no node: pod has unbound immediate PersistentVolumeClaims.", grace_s=30
)
ABSENT = 'storageclass.storage.k8s.io "fast" not found'
NO_CLASS = "no persistent volumes available for this claim and no storage class is set"
AWAITED = "Waiting for a volume to be created by the external provisioner 'x'"


def event(reason: str, message: str) -> dict[str, Any]:
    return {"data": {"reason": reason, "message": message}}


@pytest.mark.parametrize(
    ("events", "grace_s", "cause"),
    [
        (event("ProvisioningFailed", ABSENT), 20, f"claim data cannot be bound: {ABSENT}"),
        (event("FailedBinding", NO_CLASS), 20, f"claim data cannot be bound: {NO_CLASS}"),
        # a cloud may do better the next time
        (event("ProvisioningFailed", "quota"), 30, "claim data cannot be bound: quota"),
        (event("ExternalProvisioning", AWAITED), NEVER, f"claim data is not bound: {AWAITED}"),
        ({}, NEVER, "claim data is not bound, and nobody says why"),
        (event("ProvisioningSucceeded", "ok"), NEVER, "claim data is not bound, and nobody"),
    ],
)
def test_what_keeps_a_claim_from_being_bound(
    events: dict[str, Any], grace_s: float, cause: str
) -> None:
    found = claims.unbound(POD, UNBOUND, events)
    assert found.grace_s == grace_s
    assert found.cause.startswith(cause)


def test_a_pod_that_fits_no_node_for_other_reasons_is_no_matter_of_its_claims() -> None:
    other = Trouble(cause="it fits no node: Insufficient cpu", grace_s=30)
    assert claims.unbound(POD, other, event("FailedBinding", NO_CLASS)) is other


def test_a_claim_that_waits_for_its_first_consumer_may_be_refused_too() -> None:
    """Its pod is not called unschedulable then."""
    found = claims.refused(event("ProvisioningFailed", "no capacity"))
    assert found
    assert found.grace_s == NEVER
    assert claims.refused(event("WaitForFirstConsumer", "waits")) is None
