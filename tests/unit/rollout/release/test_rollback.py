from __future__ import annotations

from typing import Any

from modelferry.cluster.resources import PODS, Resource
from modelferry.rollout.changes.decide import Action, Change
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.release import rollback

DEPLOYMENTS = Resource(
    api_version="apps/v1", kind="Deployment", plural="deployments", namespaced=True
)


def placed(kind: str = "Pod", name: str = "x", **body: Any) -> Placed:
    api_version = "apps/v1" if kind == "Deployment" else "v1"
    content = {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": "n"},
        **body,
    }
    manifest = ManifestObject(body=content, file="a.yaml", line=1, lines={})
    resource = Resource(
        api_version=api_version, kind=kind, plural=f"{kind.lower()}s", namespaced=True
    )
    return Placed(manifest=manifest, resource=resource, namespace="n")


def live(spec: Any, owned: Any, *, manager: str = "modelferry", uid: str = "u1") -> dict:
    operation = "Update" if manager.startswith("kubectl-client") else "Apply"
    entry = {
        "manager": manager,
        "operation": operation,
        "apiVersion": "v1",
        "fieldsV1": {"f:spec": owned},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x", "namespace": "n", "uid": uid, "managedFields": [entry]},
        "spec": spec,
    }


def change(now: Any, result: Any = None, action: Action = Action.UPDATE) -> Change:
    return Change(placed=placed(), action=action, live=now, result=result)


def test_what_we_manage_and_what_we_are_about_to_is_remembered() -> None:
    before = live({"a": 1, "b": 2, "c": 3}, {"f:a": {}})
    after = live({"a": 9, "b": 8, "c": 3}, {"f:a": {}, "f:b": {}, "f:d": {}})
    (found,) = rollback.snapshot([change(before, after)])
    assert found.fields
    assert found.fields["spec"] == {"a": 1, "b": 2}
    assert found.uid == "u1"


def test_what_kubectl_managed_is_remembered_as_ours_to_be() -> None:
    before = live({"a": 1, "b": 2}, {"f:a": {}}, manager="kubectl-client-side-apply")
    (found,) = rollback.snapshot([change(before, live({}, {}))])
    assert found.fields
    assert found.fields["spec"] == {"a": 1}


def test_while_it_lives_its_fields_are_enough_and_anew_it_needs_all() -> None:
    before = live({"a": 1, "b": 2}, {"f:a": {}})
    other = {**before["metadata"]["managedFields"][0], "manager": "kubectl-edit"}
    before["metadata"]["managedFields"].append({**other, "fieldsV1": {"f:spec": {"f:b": {}}}})
    (found,) = rollback.snapshot([change(before)])
    assert rollback.restored(found, live({}, {})).body["spec"] == {"a": 1}
    for now in (None, live({}, {}, uid="u2")):
        assert rollback.restored(found, now).body["spec"] == {"a": 1, "b": 2}


def test_what_a_killed_run_had_found_counts_more_than_what_is_there_now() -> None:
    (earlier,) = rollback.snapshot([change(live({"a": 1}, {"f:a": {}}))])
    now = change(live({"a": 5}, {"f:a": {}}))
    extra = Change(placed=placed(name="y"), action=Action.CREATE, live=None)
    found = {before.key: before for before in rollback.snapshot([now, extra], [earlier])}
    assert found[earlier.key].fields == earlier.fields
    assert len(found) == 2


def test_the_first_release_is_where_nothing_worked_before() -> None:
    settings = Change(placed=placed("ConfigMap"), action=Action.UPDATE, live=live({}, {}))
    fresh = Change(placed=placed("Deployment"), action=Action.CREATE, live=None)
    there = Change(placed=placed("Deployment", "y"), action=Action.UPDATE, live=live({}, {}))
    assert rollback.is_first(rollback.snapshot([settings, fresh]))
    assert not rollback.is_first(rollback.snapshot([settings, fresh, there]))


def test_new_objects_go_but_not_those_that_hold_more() -> None:
    kinds = ("Namespace", "ResourceQuota", "ConfigMap", "PersistentVolumeClaim", "Deployment")
    found = rollback.removals([placed(kind) for kind in kinds])
    assert [entry.resource.kind for entry in found.first] == ["ResourceQuota"]
    assert [entry.resource.kind for entry in found.last] == ["Deployment", "ConfigMap"]
    assert {entry.resource.kind for entry in found.kept} == {"Namespace", "PersistentVolumeClaim"}


def test_a_tag_is_pinned_to_what_it_meant() -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "spec": {"containers": [{"name": "a", "image": "r/a:1"}, {"name": "b", "image": "r/b:1"}]},
    }
    found = rollback.pinned(body, "r/a:1", "r/a@sha256:x")
    assert [entry["image"] for entry in found["spec"]["containers"]] == ["r/a@sha256:x", "r/b:1"]


def test_previous_image() -> None:
    containers = [{"name": "a", "image": "r/a:2"}]
    coming = Change(
        placed=placed(spec={"containers": containers}),
        action=Action.UPDATE,
        live=live(
            {"containers": [{"name": "a", "image": "r/a:1"}]},
            {"f:containers": {'k:{"name":"a"}': {"f:image": {}}}},
        ),
    )
    before = rollback.snapshot([coming])
    assert rollback.previous_image(before, [coming], "r/a:2") == "r/a:1"
    assert rollback.previous_image(before, [coming], "r/b:2") is None


def test_it_survives_being_written_down() -> None:
    for found in rollback.snapshot([change(live({"a": 1}, {"f:a": {}})), change(None)]):
        assert rollback.Before.from_json(found.to_json()) == found
    assert PODS.kind == "Pod"
