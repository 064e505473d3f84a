from __future__ import annotations

from typing import Any

import pytest

from modelferry.cluster.resources import Resource
from modelferry.cluster.transport import Refused
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.changes.refusals import Refusal, error_of
from modelferry.rollout.manifests.load import ManifestObject


def refusal(kind: str, message: str, code: int = 422, **details: Any) -> Refusal:
    body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}}
    resource = Resource(api_version="v1", kind=kind, plural="x", namespaced=True)
    manifest = ManifestObject(body=body, file="a.yaml", line=7, lines={})
    status = {"message": message, "details": details}
    return Refusal(
        placed=Placed(manifest=manifest, resource=resource, namespace="n"),
        refused=Refused(f"the cluster refused: {message}", code=code, status=status, do="Ask."),
    )


@pytest.mark.parametrize(
    ("kind", "message", "hint"),
    [
        ("Deployment", "spec.selector: Invalid value: field is immutable", "would be down"),
        ("StatefulSet", "Forbidden: updates to statefulset spec for fields", "only replicas"),
        ("Service", "spec.clusterIPs[0]: may not change once set", "leave clusterIP out"),
        ("PersistentVolumeClaim", "spec is immutable after creation", "data would be lost"),
        ("Wish", "spec: field is immutable", "would miss it"),
    ],
)
def test_what_cannot_change_says_why_it_is_not_made_anew(
    kind: str, message: str, hint: str
) -> None:
    assert hint in refusal(kind, message).hint


def test_a_conflict_names_owner_and_field() -> None:
    cause = {
        "reason": "FieldManagerConflict",
        "message": 'conflict with "argo-cd" using apps/v1',
        "field": ".spec.replicas",
    }
    found = refusal("Deployment", "Apply failed", 409, causes=[cause])
    assert found.text == ".spec.replicas is owned by argo-cd"
    assert "force" in found.hint


def test_all_are_told_together_with_their_lines() -> None:
    error = error_of([refusal("Pod", "too large"), refusal("Job", "not allowed", 403)])
    assert error.what == "the cluster would refuse pod/x: too large (and 1 more)"
    assert "- a.yaml:7: job/x: not allowed" in error.seen
    assert "Nothing was written." in error.seen
    assert error.do == "Ask."
    assert [note.line for note in error.annotations] == [7, 7]
