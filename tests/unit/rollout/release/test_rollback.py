from __future__ import annotations

from dataclasses import replace
from typing import Any

from modelferry.cluster.resources import PODS, Resource
from modelferry.rollout.changes.decide import Action, Change
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.release import rollback
from modelferry.rollout.release.at_work import AtWork

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
    kinds = (
        *("Namespace", "ResourceQuota", "ConfigMap", "PersistentVolumeClaim", "Deployment"),
        "HorizontalPodAutoscaler",
    )
    found = rollback.removals([placed(kind) for kind in kinds])
    assert [entry.resource.kind for entry in found.first] == [
        "HorizontalPodAutoscaler",
        "ResourceQuota",
    ]
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


def new(name: str = "x") -> rollback.Before:
    return rollback.Before(placed=placed(name=name), uid=None, fields=None, whole=None)


def of_kubectl() -> dict:
    return live({"a": 1}, {"f:a": {}}, manager="kubectl-client-side-apply")


def with_ours(body: dict) -> dict:
    """As it is once we have applied to it as well."""
    entries = [*body["metadata"]["managedFields"], *live({}, {})["metadata"]["managedFields"]]
    return {**body, "metadata": {**body["metadata"], "managedFields": entries}}


def test_what_somebody_made_after_a_killed_run_had_looked_is_what_was_there() -> None:
    (found,) = rollback.snapshot([change(of_kubectl())], [new()])
    assert found.uid == "u1"
    (ours,) = rollback.snapshot([change(live({"a": 1}, {"f:a": {}}))], [new()])
    assert ours.uid is None, "the killed run itself had made it"
    assert rollback.made_before([ours], [change(live({}, {"f:a": {}}))]) == {"u1"}
    assert rollback.made_before([found], [change(of_kubectl())]) == frozenset()


def back(*seen: Any, made: tuple[str, ...] = (), **more: Any) -> rollback.WayBack:
    values: dict[str, Any] = {"release": "n/app", "tags": {}} | more
    return rollback.way_back(seen, made=made, **values)


def test_only_what_our_applies_made_is_removed() -> None:
    touched = with_ours(of_kubectl())
    assert [uid(entry) for _, entry in back((new(), touched), made=("u1",)).gone] == ["u1"]
    found = back((new(), touched))
    assert not found.gone
    assert found.notes == ("pod/x was made by somebody else meanwhile, and stays",)
    assert back((new(), live({}, {"f:a": {}}))).gone, "nobody else has ever written to it"
    assert back((new(), None)) == back((new(), of_kubectl()))


def uid(body: Any) -> str:
    return body["metadata"]["uid"]


def test_what_another_release_has_taken_is_left_alone() -> None:
    theirs = live({"a": 5}, {"f:a": {}})
    theirs["metadata"]["annotations"] = {"modelferry/release": "n/other"}
    (known,) = rollback.snapshot([change(live({"a": 1}, {"f:a": {}}))])
    for before in (known, new()):
        found = back((before, theirs), made=("u1",))
        assert not found.gone
        assert not found.back
        assert found.notes == ("pod/x belongs to release n/other by now, and is left alone",)


def known(**at_work: Any) -> rollback.Before:
    spec = {"containers": [{"name": "a", "image": "r.io/app:main"}]}
    body = live(spec, {"f:containers": {'k:{"name":"a"}': {"f:image": {}, "f:name": {}}}})
    (found,) = rollback.snapshot([change(body)], at_work={placed().key: AtWork(**at_work)})
    return found


def test_what_had_come_to_its_end_is_not_run_again() -> None:
    successor = live({}, {"f:a": {}}, uid="u2")
    found = back((known(ended=True), successor), made=("u2",))
    assert [uid(body) for _, body in found.gone] == ["u2"]
    assert not found.back
    assert found.notes == ("pod/x had come to its end before, and is not run again",)
    assert back((known(ended=True), live({}, {}))).back, "it was not replaced"
    assert not back((known(ended=True, ready=False), live({}, {}))).back, "it has failed, and has"


def test_what_was_not_ready_before_is_not_waited_for() -> None:
    found = back((known(ready=False), live({}, {})))
    assert found.not_awaited == {placed().key}
    assert not back((known(), live({}, {}))).not_awaited


def test_a_tag_that_was_moved_comes_back_as_the_digest_that_ran() -> None:
    ran, other = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    before = known(digests={"a": ran})
    assert rollback.tagged([before]) == {"r.io/app:main"}

    def image(tags: dict[str, str]) -> str:
        (body,) = (entry.body for entry in back((before, live({}, {})), tags=tags).back)
        return body["spec"]["containers"][0]["image"]

    assert image({"r.io/app:main": other}) == f"r.io/app@{ran}"
    assert image({"r.io/app:main": ran}) == "r.io/app:main"
    assert image({}) == "r.io/app:main"
    (note,) = back((before, live({}, {})), tags={"r.io/app:main": other}).notes
    assert note.startswith("pod/x is back by digest: r.io/app:main means another image by now")


def test_a_kind_goes_back_after_its_objects_where_they_can_be_written_now() -> None:
    kind = placed("CustomResourceDefinition", "basins.example.org")
    basin = placed("Basin", "deep")
    basin = replace(basin, resource=replace(basin.resource, api_version="example.org/v1"))
    assert rollback.kinds_last([kind, basin], {basin.key}) == (basin, kind)
    assert rollback.kinds_last([kind, basin], ()) == (kind, basin)
