from __future__ import annotations

from modelferry.rollout.objects.owned_fields import (
    extract,
    minus,
    of_body,
    of_everybody,
    of_manager,
    paths,
    union,
)

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "x",
        "namespace": "n",
        "uid": "1",
        "labels": {"app": "x", "team": "y"},
        "finalizers": ["a/b", "c/d"],
        "managedFields": [
            {
                "manager": "modelferry",
                "operation": "Apply",
                "apiVersion": "v1",
                "fieldsV1": {
                    "f:metadata": {"f:labels": {"f:app": {}}, "f:finalizers": {'v:"c/d"': {}}},
                    "f:spec": {
                        "f:containers": {
                            'k:{"name":"main"}': {
                                ".": {},
                                "f:name": {},
                                "f:image": {},
                                "f:resources": {},
                                "f:ports": {
                                    'k:{"containerPort":80,"protocol":"TCP"}': {
                                        ".": {},
                                        "f:containerPort": {},
                                    }
                                },
                            }
                        }
                    },
                },
            },
            {
                "manager": "kubectl-create",
                "operation": "Update",
                "apiVersion": "v1",
                "fieldsV1": {"f:spec": {"f:hostname": {}}, "f:metadata": {"f:annotations": {}}},
            },
            {
                "manager": "kubelet",
                "operation": "Update",
                "apiVersion": "v1",
                "fieldsV1": {"f:spec": {"f:nodeName": {}}},
            },
            {
                "manager": "somebody",
                "operation": "Update",
                "apiVersion": "v1",
                "subresource": "status",
                "fieldsV1": {"f:status": {"f:phase": {}}},
            },
            {
                "manager": "old",
                "operation": "Update",
                "apiVersion": "v0",
                "fieldsV1": {"f:spec": {"f:dnsPolicy": {}}},
            },
        ],
    },
    "spec": {
        "nodeName": "node",
        "hostname": "h",
        "dnsPolicy": "Default",
        "containers": [
            {"name": "beside", "image": "b"},
            {
                "name": "main",
                "image": "a",
                "imagePullPolicy": "Always",
                "resources": {"limits": {"cpu": "1"}},
                "ports": [
                    {"containerPort": 81, "protocol": "TCP"},
                    {"containerPort": 80, "protocol": "TCP", "hostPort": 9},
                ],
            },
        ],
    },
    "status": {"phase": "Running"},
}


def test_what_one_manager_applied() -> None:
    assert extract(POD, of_manager(POD, "modelferry")) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "x",
            "namespace": "n",
            "labels": {"app": "x"},
            "finalizers": ["c/d"],
        },
        "spec": {
            "containers": [
                {
                    "name": "main",
                    "image": "a",
                    "resources": {"limits": {"cpu": "1"}},
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                }
            ]
        },
    }


def test_what_anybody_wished_for_and_nothing_of_the_cluster_itself() -> None:
    found = extract(POD, of_everybody(POD))
    assert found["spec"]["hostname"] == "h"
    assert "nodeName" not in found["spec"]
    assert "dnsPolicy" not in found["spec"], "of another version of the kind"
    assert "status" not in found
    assert "uid" not in found["metadata"]


def test_a_field_that_is_not_there_is_left_out() -> None:
    assert "f:gone" not in extract(POD, {"f:spec": {"f:gone": {}}})["spec"]


def test_nothing_owned_is_only_the_name() -> None:
    assert extract(POD, of_manager(POD, "nobody")) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x", "namespace": "n"},
    }


def test_an_owned_empty_mapping_stays_empty() -> None:
    body = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "spec": {"a": {"b": 1}}}
    assert extract(body, {"f:spec": {"f:a": {".": {}}}})["spec"] == {"a": {}}


def test_union_is_deep() -> None:
    assert union({"a": {"b": {}}}, {"a": {"c": {}}, "d": {}}) == {
        "a": {"b": {}, "c": {}},
        "d": {},
    }


def test_what_is_left_of_one_set_without_another() -> None:
    one = {"f:data": {".": {}, "f:a": {}, "f:b": {}}, "f:type": {}, "f:list": {'v:"x"': {}}}
    assert minus(one, {}) == {k: v for k, v in one.items() if k != "f:data"} | {
        "f:data": {".": {}, "f:a": {}, "f:b": {}}
    }
    assert minus(one, {"f:data": {"f:a": {}}, "f:type": {}, "f:list": {}}) == {
        "f:data": {"f:b": {}}
    }
    assert minus(one, one) == {}
    assert of_body({"data": {"a": 1}, "list": [1]}) == {"f:data": {"f:a": {}}, "f:list": {}}
    assert paths({"f:data": {"f:b": {}, "f:c": {"f:d": {}}}}) == ["data.b", "data.c.d"]
