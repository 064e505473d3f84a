from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest

from modelferry.rollout.manifests.variables import replacer
from modelferry.rollout.manifests.yaml_tree import TreeError, documents


def values(text: str, **variables: str) -> list[Any]:
    found = documents(text, replacer(variables))
    return [tree.value for tree in found if tree.value is not None]


def refused(text: str) -> str:
    with pytest.raises(TreeError) as raised:
        values(text)
    return f"{raised.value.line}: {raised.value.problem}"


def value(text: str, **variables: str) -> Any:
    (tree,) = documents(text, replacer(variables))
    return tree.value


@pytest.mark.parametrize(
    ("scalar", "expected"),
    [
        ("0644", 0o644),
        ("0o17", 15),
        ("0x1F", 31),
        ("-12", -12),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("1e3", 1000),
        ("true", True),
        ("off", False),
        ("~", None),
        ("", None),
        ("2026-11-22", "2026-11-22"),
        ("12:30", "12:30"),
        ("22:22:22", "22:22:22"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("1.2.3", "1.2.3"),
        ("1Gi", "1Gi"),
        ("0x8DE2A1", 0x8DE2A1),
        ("=", "="),
    ],
)
def test_scalars_as_kubernetes_reads_them(scalar: str, expected: object) -> None:
    found = value(f"a: {scalar}\n")["a"]
    assert found == expected
    assert type(found) is type(expected)
    assert not isinstance(found, date)


def test_anchors_and_merge_keys() -> None:
    text = "base: &b {p: 1, q: 2}\none: {<<: *b, q: 3}\ntwo: {<<: [{p: 9}, *b]}\n"
    found = value(text)
    assert found["one"] == {"p": 1, "q": 3}
    assert found["two"] == {"p": 9, "q": 2}


def test_block_text_is_kept_to_the_byte() -> None:
    script = "#!/bin/sh\n  echo ${HOME} $(POD_IP) $1 $$\n"
    text = "data:\n  run.sh: |\n    #!/bin/sh\n      echo ${HOME} $(POD_IP) $1 $$\n"
    assert value(text, OTHER="x")["data"]["run.sh"] == script


def test_a_value_cannot_break_the_yaml() -> None:
    assert value("a: $X\nb: 1\n", X='x: y\n- "z') == {"a": 'x: y\n- "z', "b": 1}


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ("replicas: $(N)", "3", {"replicas": 3}),
        ("paused: ${N}", "true", {"paused": True}),
        ("replicas: '$(N)'", "3", {"replicas": "3"}),
        ("replicas: $(N)0", "3", {"replicas": "30"}),
        ("version: $N", "0x8DE2A", {"version": "0x8DE2A"}),
        ("version: $N", "1e3", {"version": "1e3"}),
        ("labels: {build: $(N)}", "4711", {"labels": {"build": "4711"}}),
        ("annotations: {build: $N}", "true", {"annotations": {"build": "true"}}),
        ("env: [{name: A, value: $N}]", "1", {"env": [{"name": "A", "value": "1"}]}),
        ("args: [$N]", "1", {"args": ["1"]}),
        ("data: {a: $N}", "1", {"data": {"a": "1"}}),
        ("name: $N", "1", {"name": "1"}),
    ],
)
def test_a_lone_placeholder_may_become_a_number(text: str, given: str, expected: object) -> None:
    assert value(text, N=given) == expected


def test_keys_are_replaced_too() -> None:
    assert value("$(APP): x", APP="score") == {"score": "x"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("# nothing\n---\n---\n", []),
        ("---\na: 1\n---\nb: 2\n", [{"a": 1}, {"b": 2}]),
        ("a: 1\n---  # next\nb: 2\n", [{"a": 1}, {"b": 2}]),
        ("a: 1\n---# next\nb: 2\n", [{"a": 1}, {"b": 2}]),
        ("--- \r\na: 1\r\n---\r\nb: 2\r\n", [{"a": 1}, {"b": 2}]),
        ("a: 1\n...\n---\nb: 2\n", [{"a": 1}, {"b": 2}]),
        ("a: |\n  x\n  ---\n  y\n---\nb: 1\n", [{"a": "x\n---\ny\n"}, {"b": 1}]),
        ("\ufeffa: 1\n", [{"a": 1}]),
        ("a: |\n  the last line\n  has no end", [{"a": "the last line\nhas no end\n"}]),
        ("a: |-\n  x", [{"a": "x"}]),
        ("a: |\n  x\r\n---\nb: |+\n  y", [{"a": "x\n"}, {"b": "y\n"}]),
        ("a: |\r\n  x\r\n  y\r\n", [{"a": "x\ny\n"}]),
        ('{"a": 1}\n{"b": 2}', [{"a": 1}, {"b": 2}]),
        ('{"a": 1}\n---\n{\n\t"b": 2\n}', [{"a": 1}, {"b": 2}]),
        ('{"a": "\\ud83d\\ude00 \\\\ud83d \\t\\/"}', [{"a": "😀 \\ud83d \t/"}]),
        ("{a: 1, 'b': x:y}\n", [{"a": 1, "b": "x:y"}]),
    ],
)
def test_documents(text: str, expected: list[Any]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &x 1\nb: *x\nc: &x 2\nd: *x\n", {"a": 1, "b": 1, "c": 2, "d": 2}),
        ("b: &b {p: 1}\na: {p: 2, <<: *b}\n", {"b": {"p": 1}, "a": {"p": 1}}),
        ("b: &b {p: 1}\na: {<<: *b, p: 2}\n", {"b": {"p": 1}, "a": {"p": 2}}),
        (
            "b: &b {p: 1}\nc: &c {p: 2, q: 3}\na: {<<: [*b, *c]}\n",
            {"b": {"p": 1}, "c": {"p": 2, "q": 3}, "a": {"p": 1, "q": 3}},
        ),
        ("a: {'<<': {p: 1}}\n", {"a": {"<<": {"p": 1}}}),
        ("a: {<<: []}\n", {"a": {}}),
        ("a: !!str 1\nb: !!int '3'\nc: ! 2\n", {"a": "1", "b": 3, "c": "2"}),
        ("a: !!binary aGVsbG8=\nb: !!timestamp 2001-01-01\n", {"a": "hello", "b": "2001-01-01"}),
        ("80: a\ntrue: b\n'y': c\n", {"80": "a", "true": "b", "y": "c"}),
        ("a: y\n", {"a": True}),
    ],
)
def test_anchors_merges_tags_and_keys(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb:\n\tc: 1\n", "3: .*here stands a tab"),
        ("a: 1\nb: @x\n", "2: .*begins with @ must be quoted"),
        ("a: %IMAGE%\n", "1: .*begins with % must be quoted"),
        ("x: 1\na: {{ .Values.image }}\n", "2: .*template, which a step before must render"),
        ("x: 1\n{{- if .Values.on }}\na: 1\n", "2: .*template"),
        ("a: 1\nb: *none\n", "2: .*no such anchor"),
        ("a: &x\n  b: *x\n", "1: an alias that contains itself"),
        ("a:\n  <<: 1\n", "2: << wants a mapping"),
        ("a: 1\n<<: {a: 2}\na: 3\n", "3: the key 'a' stands here twice"),
        ("a: 1\non: x\n", "2: Kubernetes reads the key 'on' as true: quote it"),
        ("data:\n  0644: x\n", "2: Kubernetes reads the key '0644' as 420: quote it"),
        ("1.10: x\n", "1: Kubernetes reads the key '1.10' as 1.1: quote it"),
        ("True: x\n", "1: Kubernetes reads the key 'True' as true: quote it"),
        ("null: x\n", "1: Kubernetes reads the key 'null' as null: quote it"),
        ("? [a]\n: 1\n", "1: a key that is no plain text"),
        ("a: 1\nb: .inf\n", "2: .inf is no number"),
        ("a: !!int x\n", "1: 'x' is no int"),
        ("a: 1\nb: !secret x\n", "2: the tag !secret has no meaning here"),
        ("a: 1\nb: !Ref {c: 1}\n", "2: the tag !Ref has no meaning here"),
        ("a: 1\n---b: 2\n", "2: '---b: 2' does not separate documents"),
        ("a: 1\n...\nb: 2\n", "3: "),
        ("a: 1\nb: \x07\n", "2: .*#x0007"),
        ("a: " + "[" * 3000 + "]" * 3000, "1: it is nested too deeply"),
        ('{"a": 1,\n "a": 2}', "2: the key 'a' stands here twice"),
    ],
)
def test_what_is_wrong_and_where(text: str, problem: str) -> None:
    assert re.match(problem, refused(text)), refused(text)


def test_ten_lines_of_aliases_do_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert "its aliases make it too large" in refused("\n".join(lines))


def test_lines_of_json_and_of_later_documents() -> None:
    first, second = documents('{"a": 1}\n\n{\n "b": {\n  "c": 1}}', replacer({}))
    assert (first.line, second.line) == (1, 3)
    assert second.lines["b", "c"] == 5


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("image: #{IMAGE}#\n", "#{IMAGE}#"),
        ("- image: #{IMAGE}# \n  name: x\n", "#{IMAGE}#"),
        ("image:\n", None),
        ("image: # none yet\n", None),
        ("other: #{IMAGE}#\n", None),
    ],
)
def test_a_placeholder_that_reads_as_a_comment(text: str, image: str | None) -> None:
    (found,) = values(text)
    found = found[0] if isinstance(found, list) else found
    assert found.get("image") == image
