from __future__ import annotations

from modelferry.cluster.transport import Refused
from modelferry.rollout.objects.field_managers import Conflict, conflicts, is_scaled, taken_over


def entry(manager: str, operation: str, fields: dict, **more: str) -> dict:
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": "apps/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        **more,
    }


def test_conflicts_name_manager_and_field() -> None:
    cause = {
        "reason": "FieldManagerConflict",
        "message": 'conflict with "argo-cd" using apps/v1 at 2026-11-22T00:00:00Z',
        "field": ".spec.replicas",
    }
    other = {"reason": "FieldValueInvalid", "message": "x", "field": "y"}
    refused = Refused("no", code=409, status={"details": {"causes": [cause, other]}})
    (found,) = conflicts(refused)
    assert str(found) == ".spec.replicas is owned by argo-cd"
    assert not found.yields


def test_only_tools_that_applied_this_manifest_before_yield() -> None:
    for manager in ("kubectl-client-side-apply", "kubectl", "kubectl-edit", "k8s-deploy"):
        assert Conflict(manager, ".spec").yields
    for manager in ("helm", "argo-cd", "kube-controller-manager", "my-kubectl"):
        assert not Conflict(manager, ".spec").yields


def test_an_autoscaler_is_known_by_the_scale_subresource() -> None:
    managed = [entry("hpa", "Update", {}, subresource="scale"), entry("ci", "Update", {})]
    live = {"metadata": {"managedFields": managed}}
    assert is_scaled(Conflict("hpa", ".spec.replicas"), live)
    assert not is_scaled(Conflict("ci", ".spec.replicas"), live)
    assert not is_scaled(Conflict("hpa", ".spec.paused"), live)


def test_fields_of_the_tools_before_us_become_ours() -> None:
    managed = [
        entry("kubectl-client-side-apply", "Update", {"f:spec": {"f:a": {}, "f:b": {"k": {}}}}),
        entry("modelferry", "Apply", {"f:spec": {"f:b": {"l": {}}, "f:c": {}}}),
        entry("kubectl", "Update", {"f:status": {}}, subresource="status"),
        entry("kube-controller-manager", "Update", {"f:status": {}}),
    ]
    found = taken_over(managed, "apps/v1")
    assert found
    ours, *rest = found
    assert (ours["manager"], ours["operation"]) == ("modelferry", "Apply")
    assert ours["fieldsV1"] == {"f:spec": {"f:a": {}, "f:b": {"k": {}, "l": {}}, "f:c": {}}}
    assert rest == managed[2:]


def test_nothing_to_take_over() -> None:
    managed = [
        entry("modelferry", "Apply", {}),
        entry("kubectl-edit", "Update", {"f:spec": {}}),
        entry("kubectl-client-side-apply", "Update", {}, apiVersion="apps/v1beta1"),
    ]
    assert taken_over(managed, "apps/v1") is None
