from __future__ import annotations

import re
from pathlib import Path

import pytest

from modelferry.rollout.manifests.load import ManifestError, load

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: score
  labels: {version: LABEL}
spec:
  selector: {matchLabels: {version: SELECTED}}
  template:
    metadata:
      annotations: {since: ANNOTATED}
      labels: {version: POD}
    spec:
      nodeSelector: {gpu: NODE}
      containers:
        - name: score
          args: [--port, ARG]
          env:
            - name: DEBUG
              value: ENV
            - name: VARIABLE
          ports: [{containerPort: 80, name: PORT}]
        - name: CONTAINER
      volumes:
        - name: VOLUME
"""
WHERE = {
    "LABEL": (5, "metadata.labels.version"),
    "SELECTED": (7, "spec.selector.matchLabels.version"),
    "ANNOTATED": (10, "spec.template.metadata.annotations.since"),
    "POD": (11, "spec.template.metadata.labels.version"),
    "NODE": (13, "spec.template.spec.nodeSelector.gpu"),
    "ARG": (16, "spec.template.spec.containers[0].args[1]"),
    "ENV": (19, "spec.template.spec.containers[0].env[0].value"),
    "VARIABLE": (20, "spec.template.spec.containers[0].env[1].name"),
    "PORT": (21, "spec.template.spec.containers[0].ports[0].name"),
    "CONTAINER": (22, "spec.template.spec.containers[1].name"),
    "VOLUME": (24, "spec.template.spec.volumes[0].name"),
}


def told(folder: Path, text: str) -> list[str]:
    (folder / "a.yaml").write_text(text)
    with pytest.raises(ManifestError) as raised:
        load(["a.yaml"], folder)
    return [fault.allowed for fault in raised.value.faults]


@pytest.mark.parametrize("field", WHERE)
@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("1.10", "reads as the number 1.1: text is wanted, quote it"),
        ("0644", "reads as the number 420: text is wanted, quote it"),
        ("1e3", "reads as the number 1000: text is wanted, quote it"),
        ("yes", "reads as the boolean true: text is wanted, quote it"),
        ("n", "reads as the boolean false: text is wanted, quote it"),
        ("{a: b}", "is a mapping: text is wanted"),
        ("[a]", "is a list: text is wanted"),
    ],
)
def test_what_is_no_text(tmp_path: Path, field: str, value: str, wrong: str) -> None:
    line, path = WHERE[field]
    if field == "ENV":  # it may be a password
        wrong = re.sub(r"the (number|boolean) \S+:", r"a \1:", wrong)
    assert told(tmp_path, DEPLOYMENT.replace(field, value)) == [
        f"a.yaml:{line}: deployment/score {path} {wrong}"
    ]


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("Secret", "stringData: {pin: 4711}"),
        ("Secret", "data: {pin: 4711}"),
        ("Pod", "spec: {containers: [{env: [{name: PIN, value: 4711}]}]}"),
        ("Pod", "spec: {initContainers: [{env: [{name: PIN, value: 4711}]}]}"),
    ],
)
def test_a_value_that_may_be_secret_is_not_shown(tmp_path: Path, kind: str, field: str) -> None:
    text = f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: a}}\n{field}\n"
    (fault,) = told(tmp_path, text)
    assert fault.endswith("reads as a number: text is wanted, quote it")
    assert "4711" not in fault


@pytest.mark.parametrize("value", ["'1.10'", "v1", "2026-11-22", "12:30", "~", "1Gi"])
def test_text_and_nothing(tmp_path: Path, value: str) -> None:
    text = DEPLOYMENT
    for field in WHERE:
        text = text.replace(field, value)
    (tmp_path / "a.yaml").write_text(text)
    load(["a.yaml"], tmp_path)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("ConfigMap", "data: {a: 1}"),
        ("Secret", "stringData: {a: on}"),
        ("Service", "spec: {selector: {version: 2}}"),
        ("Pod", "spec: {containers: [{env: [{name: A, value: 1}]}]}"),
        ("Namespace", "x: 1\nmetadata: {name: a, labels: {a: true}}"),
        ("Namespace", "x: 1\nmetadata: {name: a, labels: [a]}"),
    ],
)
def test_other_kinds(tmp_path: Path, kind: str, field: str) -> None:
    metadata = "" if "metadata" in field else "metadata: {name: a}\n"
    assert len(told(tmp_path, f"apiVersion: v1\nkind: {kind}\n{metadata}{field}\n")) == 1


def test_a_kind_of_another_group_keeps_its_own_meaning(tmp_path: Path) -> None:
    text = "apiVersion: x.org/v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: 1}\n"
    (tmp_path / "a.yaml").write_text(text)
    assert load(["a.yaml"], tmp_path)
