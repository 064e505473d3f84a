from __future__ import annotations

from typing import Any

import pytest

from modelferry.rollout.changes import marks
from modelferry.rollout.manifests.load import ManifestObject

MARKS = {"run": "7/1", "release": "n/score", "image-digest": "sha256:1"}


def manifest(kind: str = "Deployment", image: str = "", **body: Any) -> ManifestObject:
    content = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "x"}, **body}
    if image:
        containers = [{"name": "main", "image": image}]
        content["spec"] = {"template": {"spec": {"containers": containers}}}
    return ManifestObject(body=content, file="a.yaml", line=1, lines={})


def annotations(found: ManifestObject) -> Any:
    return found.body["metadata"].get("annotations")


def test_each_object_says_whose_it_is_and_what_runs_the_image_says_all() -> None:
    found = marks.marked(manifest(image="app@sha256:1"), MARKS, "app@sha256:1")
    assert annotations(found) == {f"modelferry/{name}": text for name, text in MARKS.items()}
    other = marks.marked(manifest(image="proxy:1"), MARKS, "app@sha256:1")
    assert annotations(other) == {"modelferry/release": "n/score"}
    assert annotations(marks.marked(manifest("ConfigMap"), MARKS, "app")) == annotations(other)
    assert annotations(marks.marked(manifest("Namespace"), MARKS, "app")) is None


def test_pods_restart_for_another_image_behind_a_tag_and_for_no_other_mark() -> None:
    by_digest = marks.marked(manifest(image="app@sha256:1"), MARKS, "app@sha256:1")
    assert "metadata" not in by_digest.body["spec"]["template"]
    by_tag = marks.marked(manifest(image="app:main"), MARKS, "app:main")
    assert by_tag.body["spec"]["template"]["metadata"] == {
        "annotations": {"modelferry/image-digest": "sha256:1"}
    }


@pytest.mark.parametrize(
    ("theirs", "other"),
    [
        (None, ""),
        ("n/score", ""),
        ("score", ""),  # of a version that did not say the namespace
        ("rank", "rank"),
        ("n/rank", "n/rank"),
        ("m/score", "m/score"),
    ],
)
def test_whose_an_object_is(theirs: str | None, other: str) -> None:
    said = {"modelferry/release": theirs} if theirs else {}
    live = {"metadata": {"annotations": said}}
    assert marks.other_release(live, marks.release_mark("score", "n")) == other
    assert marks.other_release(None, "n/score") == ""
