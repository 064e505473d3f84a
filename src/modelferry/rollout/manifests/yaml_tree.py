"""YAML text → plain values, as Kubernetes' own reader takes them, and the line of each.

PyYAML's own constructor would make dates, base-60 numbers and last-wins duplicates of a manifest.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from modelferry.rollout.manifests.variables import PLACEHOLDER
from modelferry.rollout.manifests.yaml_nodes import PLAIN, TEXT, TreeError, line_of, nodes
from modelferry.rollout.manifests.yaml_scalars import resolve
from modelferry.rollout.objects.fields import Path

__all__ = ["Tree", "TreeError", "documents"]


_MOST_COPIES = 20_000  # that aliases may make: ten lines could ask for billions
_NUMBER_OR_BOOLEAN = re.compile(r"-?(?:0|[1-9][0-9]*)|true|false")
_COMMENTED_OUT = re.compile(r"""\bimage["']?\s*:\s+(#\{.*\S)""")  # `image: #{IMAGE}#` is no text


@dataclass(frozen=True, slots=True)
class Tree:
    """One document. `lines` counts from 1."""

    value: Any
    line: int
    lines: Mapping[Path, int]


def documents(text: str, replace: Callable[[str], str]) -> Iterator[Tree]:
    """Raises TreeError. `replace` is applied to every scalar after parsing, so that a value
    can break nothing; a plain scalar that was nothing but a placeholder may become a number."""
    shown = text.split("\n")
    for node in nodes(text):
        builder = _Builder(replace, shown)
        try:
            value = builder.build(node, (), ())
        except RecursionError as error:
            raise TreeError(line_of(node), "it is nested too deeply") from error
        yield Tree(value, line_of(node), builder.lines)


class _Builder:
    def __init__(self, replace: Callable[[str], str], shown: list[str]) -> None:
        self._replace, self._shown = replace, shown
        self.lines: dict[Path, int] = {}
        self._built: set[int] = set()
        self._copies = 0

    def build(self, node: yaml.Node, path: Path, above: tuple[yaml.Node, ...]) -> Any:
        line = line_of(node)
        self.lines[path] = line
        self._copies += id(node) in self._built
        self._built.add(id(node))
        if self._copies > _MOST_COPIES:
            raise TreeError(line, "its aliases make it too large")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if any(node is parent for parent in above):
            raise TreeError(line, "an alias that contains itself")
        if not str(node.tag).startswith("tag:yaml.org,2002:"):
            raise TreeError(line, f"the tag {node.tag} has no meaning here")
        above = (*above, node)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, i), above) for i, item in enumerate(node.value)]
        return self._mapping(node, path, above)

    def _mapping(self, node: yaml.Node, path: Path, above: tuple[yaml.Node, ...]) -> Any:
        built: dict[str, Any] = {}
        written: set[str] = set()
        for key_node, value_node in node.value:
            if _is_merge(key_node):
                built |= self._merged(value_node, path, above)
                continue
            key, line = self._key(key_node), line_of(key_node)
            if key in written:
                raise TreeError(line, f"the key {key!r} stands here twice")
            written.add(key)
            built[key] = self.build(value_node, (*path, key), above)
            self.lines[(*path, key)] = line
            if built[key] is None and (found := _COMMENTED_OUT.search(self._shown[line - 1])):
                built[key] = found[1]  # told as a placeholder, unless an image is put there
        return built

    def _merged(self, node: yaml.Node, path: Path, above: tuple[yaml.Node, ...]) -> dict[str, Any]:
        """It goes over what stands before it and under what follows, as in Kubernetes' reader."""
        value = self.build(node, path, above)
        merged: dict[str, Any] = {}
        for source in reversed(value) if isinstance(value, list) else (value,):
            if not isinstance(source, dict):
                raise TreeError(line_of(node), "<< wants a mapping")
            merged |= source
        return merged

    def _key(self, node: yaml.Node) -> str:
        line = line_of(node)
        if isinstance(node, yaml.MappingNode) and node.flow_style:
            raise TreeError(line, "{{ }} is a template, which a step before must render")
        if not isinstance(node, yaml.ScalarNode):
            raise TreeError(line, "a key that is no plain text")
        key = self._replace(node.value)
        if node.tag != PLAIN or key != node.value:
            return key
        value = _value(PLAIN, key, line)
        if not isinstance(value, str) and (value is None or json.dumps(value) != key):
            meant = json.dumps(value)
            raise TreeError(line, f"Kubernetes reads the key {key!r} as {meant}: quote it")
        return key

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        given = node.value
        text = self._replace(given)
        if text == given:
            return _value(node.tag, text, line_of(node))
        whole = not node.style and PLACEHOLDER.fullmatch(given)
        if whole and not _text_wanted(path) and _NUMBER_OR_BOOLEAN.fullmatch(text):
            return resolve(text)
        return text


# Below these keys Kubernetes takes text only: a build id in a label must not become a number.
_TEXT_BELOW = frozenset(
    (
        "labels",
        "annotations",
        "matchLabels",
        "nodeSelector",
        "selector",
        "data",
        "stringData",
        "args",
        "command",
    )
)
_TEXT = frozenset(("name", "value", "image", "namespace"))


def _text_wanted(path: Path) -> bool:
    return path[-1:] != () and (path[-1] in _TEXT or any(key in _TEXT_BELOW for key in path[-2:]))


def _is_merge(node: yaml.Node) -> bool:
    explicit = node.tag == "tag:yaml.org,2002:merge"
    return explicit or (node.tag == PLAIN and node.value == "<<")


_TAGGED: dict[str, Any] = {
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:float": (int, float),
    "tag:yaml.org,2002:bool": bool,
    "tag:yaml.org,2002:null": type(None),
}


def _value(tag: str, text: str, line: int) -> Any:
    try:
        if tag == PLAIN:
            return resolve(text)
        if tag in (TEXT, "tag:yaml.org,2002:timestamp"):
            return text
        if tag == "tag:yaml.org,2002:binary":
            return base64.b64decode(text).decode()
        if tag in _TAGGED and isinstance(value := resolve(text), _TAGGED[tag]):
            return value
    except ValueError as error:
        raise TreeError(line, str(error)) from error
    if tag in _TAGGED:
        raise TreeError(line, f"{text!r} is no {tag.rpartition(':')[2]}")
    raise TreeError(line, f"the tag {tag} has no meaning here")
