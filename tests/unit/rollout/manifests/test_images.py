from __future__ import annotations

from pathlib import Path

import pytest

from modelferry.rollout.manifests.images import Replacement, substitute
from modelferry.rollout.manifests.load import ManifestError, ManifestObject, load
from modelferry.rollout.objects import podspec
from modelferry.rollout.spec import ImageRule
from modelferry.values import Digest, ImageRef

DIGEST = Digest("sha256:" + "a" * 64)
NAME = ImageRef(registry="reg.azurecr.io", repository="team/score")
BUILT = NAME.pinned(DIGEST)

POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: p}}
spec:
  containers:
    - name: main
      image: {image}
"""


@pytest.fixture
def objects(tmp_path: Path):
    def read(text: str) -> tuple[ManifestObject, ...]:
        (tmp_path / "a.yaml").write_text(text)
        return load(["a.yaml"], tmp_path)

    return read


def images(objects: tuple[ManifestObject, ...]) -> list[str | None]:
    return [image for found in objects for image in podspec.images(found.body).values()]


def refused(objects: tuple[ManifestObject, ...], *rules: ImageRule) -> str:
    with pytest.raises(ManifestError) as raised:
        substitute(objects, BUILT, rules)
    return str(raised.value)


@pytest.mark.parametrize(
    "image",
    [
        "reg.azurecr.io/team/score",
        "reg.azurecr.io/team/score:v1",
        "reg.azurecr.io/team/score@sha256:" + "b" * 64,
        "reg.azurecr.io/team/score:v1@sha256:" + "b" * 64,
        "REG.azurecr.io/team/score:v1",
    ],
)
def test_every_reference_to_the_repository_is_replaced(objects, image: str) -> None:
    replaced, table = substitute(objects(POD.format(image=image)), BUILT, ())
    assert images(replaced) == [str(BUILT)]
    assert table == (
        Replacement(
            object="pod/p",
            path="spec.containers[main].image",
            before=image,
            after=str(BUILT),
            place="a.yaml:7",
        ),
    )


def test_the_place_that_is_told_is_an_images(objects) -> None:
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\n"
    assert refused(objects(config + POD.format(image="score"))).startswith(
        "manifests: a.yaml:11: no"
    )


@pytest.mark.parametrize(
    "image",
    [
        "team/score",
        "reg.azurecr.io/team/scorer",
        "reg.azurecr.io/other/team/score",
        "reg.azurecr.io:5000/team/score",
        "score",
    ],
)
def test_other_images_are_left_and_told(objects, image: str) -> None:
    told = refused(objects(POD.format(image=image)))
    assert "no manifest runs reg.azurecr.io/team/score" in told
    assert f"- pod/p spec.containers[main].image: {image} (a.yaml:7)" in told


TEMPLATE = """\
spec:
  initContainers: [{name: init, image: reg.azurecr.io/team/score:old}]
  containers:
    - {name: main, image: reg.azurecr.io/team/score}
    - {name: beside, image: nginx}
  ephemeralContainers: [{name: debug, image: reg.azurecr.io/team/score:x}]
"""


def indented(text: str, by: int) -> str:
    return "".join(" " * by + line + "\n" for line in text.splitlines())


KINDS = {
    "Pod": "v1",
    "PodTemplate": "v1",
    "ReplicationController": "v1",
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_and_every_list_of_containers(objects, kind: str) -> None:
    match kind:
        case "Pod":
            spec = TEMPLATE
        case "PodTemplate":
            spec = "template:\n" + indented(TEMPLATE, 2)
        case "CronJob":
            spec = "spec:\n  jobTemplate:\n    spec:\n      template:\n" + indented(TEMPLATE, 8)
        case _:
            spec = "spec:\n  template:\n" + indented(TEMPLATE, 4)
    head = f"apiVersion: {KINDS[kind]}\nkind: {kind}\nmetadata: {{name: x}}\n"
    replaced, table = substitute(objects(head + spec), BUILT, ())
    assert images(replaced) == [str(BUILT), str(BUILT), "nginx", str(BUILT)]
    assert len(table) == 3


def test_rules_name_containers(objects) -> None:
    other = ImageRef.parse("quay.io/x/y:1")
    text = POD.format(image="example.org/placeholder") + "    - {name: beside, image: nginx}\n"
    rules = (ImageRule(container="main", image=None), ImageRule(container="beside", image=other))
    replaced, _ = substitute(objects(text), BUILT, rules)
    assert images(replaced) == [str(BUILT), "quay.io/x/y:1"]


def test_a_rule_reaches_a_container_without_image_or_with_a_placeholder(objects) -> None:
    text = POD.format(image="$WHATEVER") + "    - {name: beside}\n"
    rules = tuple(ImageRule(container=name, image=None) for name in ("main", "beside"))
    replaced, _ = substitute(objects(text), BUILT, rules)
    assert images(replaced) == [str(BUILT)] * 2


def test_a_rule_that_matches_nothing(objects) -> None:
    told = refused(objects(POD.format(image=str(NAME))), ImageRule(container="web", image=None))
    assert "`images` names container web, which no manifest has" in told
    assert "- pod/p spec.containers[main].image" in told


def test_a_rule_that_means_several_images(objects) -> None:
    text = POD.format(image="nginx") + "---\n" + POD.format(image="redis").replace("p}", "q}")
    told = refused(objects(text), ImageRule(container="main", image=None))
    assert "runs different images here" in told
    assert "nginx" in told
    assert "redis" in told


@pytest.mark.parametrize(
    ("image", "left"),
    [
        ("$TAG", "$TAG"),
        ("reg/x:${TAG}", "${TAG}"),
        ("x:$(Build.Number)", "$(Build.Number)"),
        ("$(IMAGE)", "$(IMAGE)"),
        ("<IMAGE>", "<IMAGE>"),
        ("reg.azurecr.io/team/score:<tag>", "<tag>"),
        ("#{IMAGE}#", "#{IMAGE}#"),
        ("'x:#{TAG}#'", "#{TAG}#"),
        ("'{{ .Values.image }}'", "{{ .Values.image }}"),
        ('"{{ .Values.repo }}:{{ .Values.tag }}"', "{{ .Values.repo }}"),
        ("${{ env.IMAGE }}", "${{ env.IMAGE }}"),
        ("__IMAGE__", "__IMAGE__"),
        ("reg.azurecr.io/team/score:__TAG__", "__TAG__"),
        ("'%IMAGE%'", "%IMAGE%"),
        ("'@IMAGE@'", "@IMAGE@"),
        ("x:[[tag]]", "[[tag]]"),
        ("x:{tag}", "{tag}"),
    ],
)
def test_a_placeholder_left_in_an_image(objects, image: str, left: str) -> None:
    text = POD.format(image=image) + "    - {name: b, image: reg.azurecr.io/team/score}\n"
    assert f"a.yaml:7: {left} in the image" in refused(objects(text))


@pytest.mark.parametrize("image", ["a__b/c", "x:v1__rc", "x@sha256:" + "c" * 64, "x:a_b.c-d"])
def test_an_image_that_looks_like_one_and_is_none(objects, image: str) -> None:
    text = POD.format(image=image) + "    - {name: b, image: reg.azurecr.io/team/score}\n"
    replaced, _ = substitute(objects(text), BUILT, ())
    assert images(replaced) == [image, str(BUILT)]


def test_a_rule_fills_a_placeholder_that_yaml_takes_for_a_comment(objects) -> None:
    rule = ImageRule(container="main", image=None)
    replaced, (row,) = substitute(objects(POD.format(image="#{IMAGE}#")), BUILT, (rule,))
    assert images(replaced) == [str(BUILT)]
    assert str(row) == f"pod/p spec.containers[main].image: #{{IMAGE}}# → {BUILT} (a.yaml:7)"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("score", "docker.io/library/score"),
        ("docker.io/score:1", "docker.io/library/score"),
        ("index.docker.io/library/score", "docker.io/library/score"),
        ("team/score:v1", "docker.io/team/score"),
        ("docker.io/team/score", "docker.io/team/score"),
        ("localhost:5000/score:v1", "localhost:5000/score"),
        ("localhost/score", "localhost/score"),
        ("[fd00::1]:5000/score", "[fd00::1]:5000/score"),
        ("10.0.0.1:5000/a/b/c@sha256:" + "d" * 64, "10.0.0.1:5000/a/b/c"),
    ],
)
def test_references_are_compared_by_what_they_mean(objects, written: str, name: str) -> None:
    built = ImageRef.parse(name).pinned(DIGEST)
    replaced, _ = substitute(objects(POD.format(image=f"'{written}'")), built, ())
    assert images(replaced) == [f"{name}@{DIGEST}"]


def test_images_of_other_kinds_are_in_the_list(objects) -> None:
    text = (
        "apiVersion: x/v1\nkind: Served\nmetadata: {name: s}\nspec:\n"
        "  pods: [{image: reg.azurecr.io/team/score}]\n---\n"
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\n"
        "spec: {template: {spec: {containers: [{name: a}]}}}\n"
    )
    told = refused(objects(text))
    assert "- served/s spec.pods[0].image: reg.azurecr.io/team/score (a.yaml:5)" in told
    assert "- job/j spec.template.spec.containers[a].image: (none) (a.yaml:10)" in told


def test_a_placeholder_in_a_kind_that_we_do_not_know(objects) -> None:
    text = "apiVersion: x/v1\nkind: Served\nmetadata: {name: s}\nspec: {image: $TAG}\n---\n"
    assert "a.yaml:4: $TAG in the image" in refused(objects(text + POD.format(image=str(NAME))))


def test_data_with_a_key_called_image_is_left_alone(objects) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: s}\ndata: {image: $TAG}\n---\n"
    replaced, _ = substitute(objects(text + POD.format(image=str(NAME))), BUILT, ())
    assert replaced[0].body["data"] == {"image": "$TAG"}


def test_a_kind_that_we_do_not_know_counts_by_the_variable(objects) -> None:
    text = f"apiVersion: x/v1\nkind: Served\nmetadata: {{name: s}}\nspec: {{image: '{BUILT}'}}\n"
    _, table = substitute(objects(text), BUILT, ())
    assert table == ()


def test_an_image_that_cannot_be_read(objects) -> None:
    assert "a.yaml:7: spec.containers[main].image" in refused(objects(POD.format(image="a//b")))


def test_the_objects_given_stay_as_they_are(objects) -> None:
    given = objects(POD.format(image=str(NAME)))
    substitute(given, BUILT, ())
    assert images(given) == [str(NAME)]


@pytest.mark.parametrize(
    "spec",
    [
        "spec: {template: {spec: {containers: [{name: main, image: IMAGE}]}}}",
        "spec: {jobTargetRef: {template: {spec: {containers: [{name: main, image: IMAGE}]}}}}",
        "spec: {predictor: {containers: [{name: main, image: IMAGE}]}}",
        "spec: {steps: [{initContainers: [{name: main, image: IMAGE}]}]}",
    ],
)
def test_containers_of_kinds_that_we_do_not_know(objects, spec: str) -> None:
    head = "apiVersion: x/v1\nkind: Served\nmetadata: {name: s}\n"
    _, (row,) = substitute(objects(head + spec.replace("IMAGE", str(NAME))), BUILT, ())
    assert row.after == str(BUILT)
    rule = ImageRule(container="main", image=None)
    replaced, (row,) = substitute(objects(head + spec.replace("IMAGE", "busybox")), BUILT, (rule,))
    assert (row.before, row.after) == ("busybox", str(BUILT))
    assert str(BUILT) in str(replaced[0].body)


def test_the_schema_of_a_kind_has_no_containers(objects) -> None:
    head = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
    text = head + "metadata: {name: x}\nspec: {containers: [{name: main, image: busybox}]}\n"
    told = refused(objects(text), ImageRule(container="main", image=None))
    assert "names container main, which no manifest has" in told
