from __future__ import annotations

from pathlib import Path

import pytest

from modelferry.errors import InputError
from modelferry.rollout.manifests.load import ManifestError, files, load

POD = "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n"


def write(folder: Path, **content: str) -> Path:
    for name, text in content.items():
        path = folder / name.replace("__", "/").replace("_yaml", ".yaml").replace("_json", ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def problems(folder: Path, *patterns: str, **more: str) -> list[str]:
    with pytest.raises(InputError) as raised:
        load(patterns or ("a.yaml",), folder, **more)
    return [fault.allowed for fault in raised.value.faults]


def test_documents_keep_their_file_and_line(tmp_path: Path) -> None:
    text = f"# first\n{POD.format(name='one')}---\n---\n\n{POD.format(name='two')}"
    found = load(["a.yaml"], write(tmp_path, a_yaml=text))
    assert [(o.label, o.place) for o in found] == [("pod/one", "a.yaml:2"), ("pod/two", "a.yaml:8")]
    assert found[1].line_of("metadata", "name") == 10
    assert found[1].line_of("metadata", "labels", "x") == 10


def test_a_list_is_taken_apart(tmp_path: Path) -> None:
    text = """\
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Pod
    metadata:
      name: one
  - {apiVersion: v1, kind: Pod, metadata: {name: two}}
"""
    found = load(["a.yaml"], write(tmp_path, a_yaml=text))
    assert [(o.label, o.line) for o in found] == [("pod/one", 4), ("pod/two", 8)]
    assert found[0].line_of("metadata", "name") == 7


def test_json_may_be_indented_by_tabs(tmp_path: Path) -> None:
    text = '{\n\t"apiVersion": "v1",\n\t"kind": "Pod",\n\t"metadata": {"name": "a\\tb"}\n}\n'
    (found,) = load(["a.json"], write(tmp_path, a_json=text))
    assert found.name == "a\tb"
    assert found.line_of("kind") == 3


def test_folders_globs_and_order(tmp_path: Path) -> None:
    write(
        tmp_path,
        k8s__b_yaml=POD.format(name="b"),
        k8s__deep__a_json='{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}',
        **{"k8s__.hidden_yaml": "no", "k8s__.git__x_yaml": "no", "k8s__readme.md": "no"},
        z_yaml=POD.format(name="z"),
    )
    assert [o.name for o in load(["z.yaml", "k8s", "*.yaml"], tmp_path)] == ["z", "b", "a"]
    assert [p.name for p in files(["k8s/**/*.json"], tmp_path)] == ["a.json"]
    assert [p.name for p in files([str(tmp_path / "k8s")], tmp_path)] == ["b.yaml", "a.json"]


def test_patterns_that_match_nothing_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        load(["none.yaml", "no/*.yaml"], tmp_path)
    assert [fault.given for fault in raised.value.faults] == ["none.yaml", "no/*.yaml"]


def test_files_without_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no object in these files"):
        load(["a.yaml"], write(tmp_path, a_yaml="# nothing\n---\n"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1\nb: 2\n", "a.yaml:2: "),
        ("a: 1\nb: {c: 2\n", "a.yaml:2: "),
        ("a: {c: 2\n\n\n", "a.yaml:1: "),
        ("a: 1\n\tb: 2\n", "a.yaml:2: "),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nkind: Job\n", "a.yaml:4: the key 'kind'"),
        ("apiVersion: v1\nkind: Pod\n", "a.yaml:1: metadata.name missing in this Pod"),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: 7}\n",
            "metadata.name must be text in this Pod",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: [b]}\n",
            "a.yaml:1: metadata.namespace must be text in this Pod",
        ),
        ("metadata: {name: a}\n", "a.yaml:1: apiVersion and kind missing"),
        ("apiVersion: 1\nkind: P\n", "metadata.name missing in this P; apiVersion must be text"),
        ("- 1\n", "a.yaml:1: a mapping with apiVersion"),
        ("just words\n", "a.yaml:1: a mapping with apiVersion"),
        ("a: &x\n  b: *x\n", "a.yaml:1: an alias that contains itself"),
        ("a: !secret x\n", "a.yaml:1: the tag !secret"),
        ("apiVersion: v1\nkind: Job\nmetadata: {generateName: a-}\n", "generateName"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = problems(write(tmp_path, a_yaml=text))
    assert problem in found


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, a_yaml="a: [", b_yaml="kind: Pod\n", c_yaml=POD.format(name="c"))
    (tmp_path / "d.yaml").write_bytes(b"\xff\xfe")
    found = problems(tmp_path, "*.yaml")
    assert [line.partition(":")[0] for line in found] == ["a.yaml", "b.yaml", "d.yaml"]


def test_annotations_point_at_the_lines(tmp_path: Path) -> None:
    write(tmp_path, a_yaml=POD.format(name="a") + "---\nkind: Pod\n")
    with pytest.raises(ManifestError) as raised:
        load(["a.yaml"], tmp_path)
    assert [(a.file, a.line) for a in raised.value.annotations] == [("a.yaml", 5)]
    assert raised.value.status == 2


def test_duplicates(tmp_path: Path) -> None:
    write(tmp_path, a_yaml=POD.format(name="a"), b_yaml=f"\n{POD.format(name='a')}")
    assert problems(tmp_path, "a.yaml", "b.yaml") == ["b.yaml:2: pod/a stands in a.yaml:1 already"]


def test_same_name_in_another_namespace_or_kind_is_no_duplicate(tmp_path: Path) -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: %s}\n"
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n"
    write(tmp_path, a_yaml=f"{pod % 'one'}---\n{pod % 'two'}---\n{service}")
    assert len(load(["a.yaml"], tmp_path)) == 3


def test_objects_for_another_namespace(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  namespace: other\n"
    found = problems(write(tmp_path, a_yaml=text), namespace="mine")
    assert found == ["a.yaml:5: pod/a is for namespace other, `namespace` says mine"]
    assert load(["a.yaml"], tmp_path)[0].namespace == "other"


def test_kustomizations_are_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path, kustomization_yaml="resources: [x.yaml]\n")
    assert "not rendered here" in problems(tmp_path, "kustomization.yaml")[0]


def test_variables_are_replaced_before_names_are_compared(tmp_path: Path) -> None:
    write(tmp_path, a_yaml=POD.format(name="$(APP)-web"))
    (found,) = load(["a.yaml"], tmp_path, variables={"APP": "score"})
    assert found.name == "score-web"


def test_a_typed_list_says_the_kind_once(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: ConfigMapList\nitems:\n- metadata: {name: a}\n"
    (found,) = load(["a.yaml"], write(tmp_path, a_yaml=text))
    assert (found.kind, found.api_version, found.line) == ("ConfigMap", "v1", 4)


def test_lists_in_lists_and_empty_ones(tmp_path: Path) -> None:
    inner = (
        "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, metadata: {name: a}}]}"
    )
    text = f"apiVersion: v1\nkind: List\nitems: [{inner}]\n---\nkind: List\nitems: []\n"
    assert [o.label for o in load(["a.yaml"], write(tmp_path, a_yaml=text))] == ["pod/a"]


def test_an_item_of_a_list_that_is_no_object(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n  - kind: Pod\n  - x\n"
    found = problems(write(tmp_path, a_yaml=text))
    assert found[0] == "a.yaml:4: apiVersion and metadata.name missing in this Pod"
    assert found[1].startswith("a.yaml:5: a mapping with apiVersion")


def test_a_duplicate_that_names_the_namespace(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: mine}\n"
    write(tmp_path, a_yaml=text, b_yaml=POD.format(name="a"))
    assert len(load(["*.yaml"], tmp_path)) == 2
    assert problems(tmp_path, "*.yaml", namespace="mine") == [
        "b.yaml:1: pod/a stands in a.yaml:1 already"
    ]


def test_of_a_chart_only_the_chart_is_told(tmp_path: Path) -> None:
    write(
        tmp_path,
        app__Chart_yaml="name: x\n",
        app__templates__x_yaml="{{ if }}",
        ok_yaml=POD.format(name="a"),
    )
    (found,) = problems(tmp_path, ".")
    assert found.startswith("app/Chart.yaml:1: charts and kustomizations are not rendered here")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a: 1\nb: \xff\n", "a.yaml:2: is no UTF-8 text"),
        ("a: 1\n".encode("utf-16"), "a.yaml:1: is UTF-16: save it as UTF-8"),
    ],
)
def test_files_that_are_no_utf_8(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    assert problems(tmp_path)[0].startswith(told)


def test_windows_files(tmp_path: Path) -> None:
    text = POD.format(name="a") + "---\n" + POD.format(name="b")
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert [o.place for o in load(["a.yaml"], tmp_path)] == ["a.yaml:1", "a.yaml:5"]


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").mkdir()
    assert problems(tmp_path, "x.yaml") == ["no such file, folder or glob match"]
