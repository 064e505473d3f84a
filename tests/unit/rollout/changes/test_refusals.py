from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelferry.cluster.resources import Resource
from modelferry.cluster.transport import Refused
from modelferry.rollout.changes.decide import Action, Change
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.changes.refusals import Refusal, error_of, of_old_pods, when_it_counted
from modelferry.rollout.manifests.load import ManifestObject, load


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


GO = """\
Pod "x" is invalid: spec: Forbidden: pod updates may not change fields other than `image`
  core.PodSpec{
      ... // 13 identical fields
-   NodeName: "a",
  }
"""


def test_a_go_struct_is_cut_to_its_line_and_stands_in_the_details() -> None:
    error = error_of([refusal("Pod", GO)])
    assert error.what.endswith("may not change fields other than `image`")
    assert "NodeName" in error.seen
    assert error.annotations[0].message.endswith("other than `image`")


def test_of_a_long_value_the_end_is_told_too() -> None:
    text = f"spec.template: Invalid value: {{{'a' * 900}}}: field is immutable"
    what = error_of([refusal("Job", text)]).what
    assert len(what) < 400
    assert what.endswith("field is immutable")


TYPED = "failed to create typed patch object (n/x; apps/v1, Kind=Deployment): "
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: x}
spec:
  replica: 3
  template:
    spec:
      containers:
        - name: side
        - name: app
          ports:
            - {containerPort: 80}
            - containerPort: 99999
          resorces: {}
"""


@pytest.mark.parametrize(
    ("message", "field", "line"),
    [
        (TYPED + ".spec.replica: field not declared in schema", "", 5),
        (TYPED + 'errors:\n  .spec.template.spec.containers[name="app"].resorces: no', "", 14),
        ("is invalid", "spec.template.spec.containers[1].ports[1].containerPort", 13),
        ("is invalid", "spec.template.spec.containers[0].image", 9),
        ("is forbidden", "", 1),
    ],
)
def test_the_line_of_what_is_wrong(tmp_path: Path, message: str, field: str, line: int) -> None:
    (tmp_path / "a.yaml").write_text(MANIFEST)
    (manifest,) = load(["a.yaml"], tmp_path)
    causes = [{"reason": "x", "field": field, "message": "no"}] if field else []
    resource = Resource(api_version="apps/v1", kind="Deployment", plural="x", namespaced=True)
    status = {"message": message, "details": {"causes": causes}}
    error = when_it_counted(
        Placed(manifest=manifest, resource=resource, namespace="n"),
        Refused("x", code=422, status=status),
    )
    assert error.annotations[0].line == line
    assert error.do == "Correct it in the manifest."


@pytest.mark.parametrize(
    ("message", "do"),
    [
        ("exceeded quota: few, requested: pods=1", "kubectl describe quota"),
        ("unable to create new content in namespace n because it is being terminated", "anew"),
        ('Internal error occurred: failed calling webhook "a.b"', "look at its pods"),
        ('admission webhook "a.b" denied the request: no', "Satisfy this rule"),
        ("ValidatingAdmissionPolicy 'a' with binding 'b' denied request: no", "Satisfy this rule"),
        ('pods "p" is forbidden: violates PodSecurity "restricted"', "Satisfy this rule"),
        ('RuntimeClass "fast" not found', "Add it to `manifests`"),
    ],
)
def test_a_remedy(message: str, do: str) -> None:
    refused = Refused("no", code=403, status={"message": message})
    error = when_it_counted(refusal("Pod", "").placed, refused)
    assert error.what == f"the cluster refused pod/x: {message}"
    assert do in error.do
    assert error.seen == f"- a.yaml:7: pod/x: {message}"


def of_images(kind: str, api_version: str, images: tuple[str, str], replicas: int = 1) -> Change:
    def body(image: str) -> dict[str, Any]:
        pod = {"spec": {"containers": [{"name": "a", "image": image}]}}
        spec = {"replicas": replicas, "template": pod}
        return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "spec": spec}

    live, result = map(body, images)
    resource = Resource(api_version=api_version, kind=kind, plural="x", namespaced=True)
    manifest = ManifestObject(body=result, file="a.yaml", line=1, lines={})
    placed = Placed(manifest=manifest, resource=resource, namespace="n")
    return Change(placed=placed, action=Action.UPDATE, live=live, result=result)


def test_a_new_image_that_no_pod_would_get_is_refused() -> None:
    for kind, version in (("ReplicationController", "v1"), ("ReplicaSet", "apps/v1")):
        found = of_old_pods(of_images(kind, version, ("a:1", "a:2")))
        assert found
        assert "Deployment" in found.hint


@pytest.mark.parametrize(
    "change",
    [
        of_images("ReplicationController", "v1", ("a:1", "a:1")),
        of_images("ReplicationController", "v1", ("a:1", "a:2"), replicas=0),
        of_images("Deployment", "apps/v1", ("a:1", "a:2")),
    ],
)
def test_other_changes_of_images_are_not(change: Change) -> None:
    assert of_old_pods(change) is None
