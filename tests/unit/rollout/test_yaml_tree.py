from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from modelferry.rollout.variables import replacer
from modelferry.rollout.yaml_tree import documents


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
    text = "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: {<<: [{x: 9}, *b]}\n"
    found = value(text)
    assert found["one"] == {"x": 1, "y": 3}
    assert found["two"] == {"x": 9, "y": 2}


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
