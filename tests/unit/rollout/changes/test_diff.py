from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from modelferry.cluster.resources import Resource
from modelferry.rollout.changes.decide import Action, Change
from modelferry.rollout.changes.diff import render
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.manifests.load import ManifestObject


def change(kind: str, before: Any, after: Any, action: Action = Action.UPDATE) -> Change:
    resource = Resource(api_version="v1", kind=kind, plural="x", namespaced=True)

    def whole(body: Any) -> dict[str, Any]:
        metadata = {"name": "x", "namespace": "n", **body.pop("metadata", {})}
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **body}

    new = whole(after)
    manifest = ManifestObject(body=new, file="a.yaml", line=1, lines={})
    return Change(
        placed=Placed(manifest=manifest, resource=resource, namespace="n"),
        action=action,
        live=None if before is None else whole(before),
        result=None if before is None else new,
    )


def lines(*changes: Change) -> list[str]:
    return [line.strip() for line in render(changes).splitlines()]


def test_fields_by_the_names_of_list_items() -> None:
    old = {"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}}
    new = {"spec": {"containers": [{"name": "b", "image": "2"}], "hostname": "h"}}
    assert lines(change("Pod", old, new)) == [
        "~ pod/x in n: update",
        "~ spec.containers[b].image: 1 → 2",
        "- spec.containers[a]: {name: a, image: 1}",
        "+ spec.hostname: h",
    ]


def test_the_servers_bookkeeping_and_our_marks_are_no_change() -> None:
    old = {"metadata": {"uid": "1", "annotations": {"modelferry/run": "1"}}, "status": {"a": 1}}
    new = {"metadata": {"uid": "1", "annotations": {"modelferry/run": "2"}}}
    assert lines(change("Pod", old, new, Action.UNCHANGED)) == ["= pod/x in n: leave"]


def test_a_daemon_sets_count_of_templates_is_no_change_of_ours() -> None:
    counted = "deprecated.daemonset.template.generation"
    old = {"metadata": {"annotations": {counted: "1"}}, "spec": {"a": 1}}
    new = {"metadata": {"annotations": {counted: "2"}}, "spec": {"a": 2}}
    assert lines(change("DaemonSet", old, new))[1:] == ["~ spec.a: 1 → 2"]


def test_what_stays_takes_one_line() -> None:
    same = [change("Pod", {"a": 1}, {"a": 1}, Action.UNCHANGED) for _ in range(12)]
    assert lines(change("Pod", {"a": 1}, {"a": 2}), *same) == [
        "~ pod/x in n: update",
        "~ a: 1 → 2",
        f"= 12 objects: leave {', '.join(['pod/x'] * 10)} and 2 more",
    ]


def test_keys_with_dots_are_told_from_paths() -> None:
    found = lines(change("ConfigMap", {"data": {"a.b": "1"}}, {"data": {"a.b": "2"}}))
    assert found[1:] == ["~ data[a.b]: 1 → 2"]


def test_texts_are_compared_by_lines() -> None:
    old = {"data": {"f": "a\nb\nc\n"}}
    new = {"data": {"f": "a\nx\nc\n"}}
    found = lines(change("ConfigMap", old, new))
    assert found[1:] == ["~ data.f:", "@@ -1,3 +1,3 @@", "a", "-b", "+x", "c"]


def test_no_value_of_a_secret_is_shown_wherever_it_stands() -> None:
    old, new = "hunter2-secret", "hunter3-secret"
    encoded = [base64.b64encode(text.encode()).decode() for text in (old, new)]
    secret = change("Secret", {"data": {"k": encoded[0]}}, {"data": {"k": encoded[1]}})
    fresh = change("Secret", None, {"stringData": {"other": "brand-new-word"}}, Action.CREATE)
    env = change(
        "Pod",
        {"spec": {"env": [{"name": "K", "value": f"key={old}"}]}},
        {"spec": {"env": [{"name": "K", "value": "x" * 150 + new + "brand-new-word"}]}},
    )
    text = render([secret, fresh, env])
    assert "data.k: *** → *** (another value)" in text
    assert "stringData.other: ***" in text
    assert "env[K].value: key=*** → xxx" in text
    for value in (old, new, *encoded, "brand-new-word", "hunter"):
        assert value not in text


def test_what_kubectl_wrote_down_is_not_repeated() -> None:
    note = {"kubectl.kubernetes.io/last-applied-configuration": '{"data":{"k":"hunter2"}}'}
    found = lines(change("ConfigMap", {"metadata": {"annotations": note}}, {"data": {"a": "b"}}))
    assert found[1:] == ["+ data: {a: b}"]


def test_a_new_object_is_shown_as_written() -> None:
    spec = {"a": [1, True, ""], "b": {"c": {"d": "x\ny"}, "e": {}}}
    assert lines(change("Pod", None, {"spec": spec}, Action.CREATE)) == [
        "+ pod/x in n: create",
        '+ spec.a: [1, true, ""]',
        "+ spec.b.c.d:",
        "@@ -0,0 +1,2 @@",
        "+x",
        "+y",
        "+ spec.b.e: {}",
    ]


def test_variables_that_hold_a_secret_by_their_names() -> None:
    def env(value: str) -> dict[str, Any]:
        names = ("DB_PASSWORD", "API_KEY", "STORAGE_SAS", "KEYBOARD")
        return {"spec": {"env": [{"name": name, "value": value} for name in names]}}

    text = render([change("Pod", env("first-one"), env("other-one"))])
    assert text.count("first-one") == 1
    assert "env[KEYBOARD].value: first-one → other-one" in text
    assert "env[DB_PASSWORD].value: *** → ***" in text
    fresh = render([change("Pod", None, env("brand-new"), Action.CREATE)])
    assert fresh.count("brand-new") == 1


PORT = {"containerPort": 80, "protocol": "TCP"}
KEYS = 'k:{"containerPort":80,"protocol":"TCP"}'


def test_of_what_comes_or_goes_the_servers_defaults_are_not_shown() -> None:
    written = {"spec": {"ports": [{"containerPort": 80}], "hostname": "h"}}
    served = {"spec": {"ports": [PORT], "hostname": "h", "dnsPolicy": "ClusterFirst"}}
    comes = change("Pod", {"spec": {"hostname": "h", "dnsPolicy": "ClusterFirst"}}, served)
    manifest = replace(comes.placed.manifest, body=comes.placed.body | written)
    comes = replace(comes, placed=replace(comes.placed, manifest=manifest))
    assert lines(comes)[1:] == ["+ spec.ports: [{containerPort: 80}]"]
    fields = {"f:spec": {"f:hostname": {}, "f:ports": {KEYS: {".": {}, "f:containerPort": {}}}}}
    ours = {"manager": "modelferry", "operation": "Apply", "apiVersion": "v1", "fieldsV1": fields}
    goes = change(
        "Pod",
        served | {"metadata": {"managedFields": [ours]}},
        {"spec": {"hostname": "h", "dnsPolicy": "ClusterFirst"}},
    )
    assert lines(goes)[1:] == ["- spec.ports: [{containerPort: 80}]"]


def test_what_the_server_fills_in_or_takes_away_by_itself_is_not_shown() -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}}
    recreate = {"type": "Recreate"}
    for before, after in ((rolling, recreate), (recreate, rolling)):
        fields = {"f:spec": {"f:strategy": {"f:type": {}}}}
        ours = {"manager": "modelferry", "operation": "Apply", "apiVersion": "v1"}
        managed = {"metadata": {"managedFields": [{**ours, "fieldsV1": fields}]}}
        served = {"strategy": after, "newDefault": 1}
        found = change("Deployment", {"spec": {"strategy": before}} | managed, {"spec": served})
        written = {"spec": {"strategy": {"type": after["type"]}}}
        manifest = replace(found.placed.manifest, body=found.placed.body | written)
        found = replace(found, placed=replace(found.placed, manifest=manifest))
        assert lines(found)[1:] == [f"~ spec.strategy.type: {before['type']} → {after['type']}"]


def test_what_others_put_in_and_what_is_no_more_of_ours_is() -> None:
    app, sidecar = {"name": "app"}, {"name": "sidecar", "image": "s"}
    fields = {"f:spec": {"f:hostname": {}}}
    ours = {"manager": "modelferry", "operation": "Apply", "apiVersion": "v1", "fieldsV1": fields}
    found = change(
        "Pod",
        {"spec": {"containers": [app], "hostname": "h"}, "metadata": {"managedFields": [ours]}},
        {"spec": {"containers": [app, sidecar]}},
    )
    manifest = found.placed.manifest
    manifest = replace(manifest, body=manifest.body | {"spec": {"containers": [app]}})
    found = replace(found, placed=replace(found.placed, manifest=manifest))
    assert lines(found)[1:] == [
        "+ spec.containers[sidecar]: {name: sidecar, image: s}",
        "- spec.hostname: h",
    ]


@pytest.mark.parametrize("is_noted", [True, False])
def test_what_kubectl_made_is_replaced_without_the_servers_defaults(*, is_noted: bool) -> None:
    served = {"spec": {"ports": [PORT], "backoffLimit": 6}}
    note = {
        "kubectl.kubernetes.io/last-applied-configuration": json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Job",
                "metadata": {},
                "spec": {"ports": [{"containerPort": 80}], "backoffLimit": 6},
            }
        )
    }
    metadata = {"metadata": {"annotations": note} if is_noted else {}}
    again = change("Job", served | metadata, {"spec": {"ports": [{"containerPort": 81}]}})
    again = replace(again, action=Action.REPLACE, result=None)
    gone = [
        "+ spec.ports[81]: {containerPort: 81}",
        "- spec.ports[80]: {containerPort: 80}",
        "- spec.backoffLimit: 6",
    ]
    assert lines(again)[1:] == (gone if is_noted else [gone[0], gone[1]])
