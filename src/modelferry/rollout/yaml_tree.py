"""YAML text → plain values, as Kubernetes' own reader takes them, and the line of each.

PyYAML's own loader would make dates, base-60 numbers and last-wins duplicates of a manifest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from modelferry.rollout.variables import PLACEHOLDER

Path = tuple[str | int, ...]

_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # without libyaml: slower, the same
_BOOL, _INT, _FLOAT, _NULL, _STR, _MERGE = (
    f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "null", "str", "merge")
)
_TRUE = ("true", "yes", "on")
_BOOLEANS = (*_TRUE, "false", "no", "off")


class _Loader(_BASE):
    """Only composes nodes. Its plain scalars resolve as in sigs.k8s.io/yaml."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - as in the base class


for _tag, _pattern, _first in (
    (_BOOL, "|".join(f"{w}|{w.title()}|{w.upper()}" for w in _BOOLEANS), "tTfFyYnNoO"),
    (_INT, r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)", "-+0123456789"),
    (_FLOAT, r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    (_NULL, r"~|null|Null|NULL", "~nN"),
    (_MERGE, r"<<", "<"),
):
    _Loader.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), list(_first))
_Loader.add_implicit_resolver(_NULL, re.compile(r"\Z"), [""])

_NUMBER_OR_BOOLEAN = re.compile(r"-?(?:0|[1-9][0-9]*)|true|false")


class TreeError(Exception):
    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line, self.problem = line, problem


@dataclass(frozen=True, slots=True)
class Tree:
    """One document. `lines` counts from 1."""

    value: Any
    line: int
    lines: Mapping[Path, int]


def documents(text: str, replace: Callable[[str], str]) -> Iterator[Tree]:
    """Raises TreeError. `replace` is applied to every scalar after parsing, so that a value
    can break nothing; a plain scalar that was nothing but a placeholder may become a number."""
    try:
        for node in yaml.compose_all(text, Loader=_Loader):
            builder = _Builder(replace)
            value = builder.build(node, (), ())
            yield Tree(value, node.start_mark.line + 1, builder.lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = ", ".join(filter(None, (error.context, error.problem)))
        raise TreeError(mark.line + 1 if mark else 1, problem) from error
    except yaml.YAMLError as error:  # a character that no YAML may hold
        raise TreeError(1, " ".join(str(error).split())) from error


class _Builder:
    def __init__(self, replace: Callable[[str], str]) -> None:
        self._replace = replace
        self.lines: dict[Path, int] = {}

    def build(self, node: yaml.Node, path: Path, above: tuple[yaml.Node, ...]) -> Any:
        line = node.start_mark.line + 1
        self.lines[path] = line
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if any(node is parent for parent in above):
            raise TreeError(line, "an alias that contains itself")
        above = (*above, node)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, i), above) for i, item in enumerate(node.value)]
        return self._mapping(node, path, above)

    def _mapping(self, node: yaml.Node, path: Path, above: tuple[yaml.Node, ...]) -> Any:
        built: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE:
                value = self.build(value_node, path, above)
                for source in reversed(value) if isinstance(value, list) else (value,):
                    if not isinstance(source, dict):
                        raise TreeError(line, "<< wants a mapping")
                    merged |= source
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise TreeError(line, "a key that is no plain text")
            key = self._replace(key_node.value)
            if key in built:
                raise TreeError(line, f"the key {key!r} stands here twice")
            built[key] = self.build(value_node, (*path, key), above)
            self.lines[(*path, key)] = line
        return merged | built

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        given = node.value
        text = self._replace(given)
        if text == given:
            return _value(node.tag, text, node.start_mark.line + 1)
        whole = not node.style and PLACEHOLDER.fullmatch(given)
        if whole and not _text_wanted(path) and _NUMBER_OR_BOOLEAN.fullmatch(text):
            return _value(_BOOL if text in ("true", "false") else _INT, text, 0)
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


def _value(tag: str, text: str, line: int) -> Any:
    match tag:
        case _ if tag == _STR:
            return text
        case _ if tag == _NULL:
            return None
        case _ if tag == _BOOL:
            return text.lower() in _TRUE
        case _ if tag == _INT:
            return _integer(text.replace("_", ""))
        case _ if tag == _FLOAT:
            number = float(text)
            return int(number) if number.is_integer() else number  # as JSON from Go has it
        case _:
            raise TreeError(line, f"the tag {tag} has no meaning here")


def _integer(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    if digits[:2] in ("0b", "0o", "0x"):
        return sign * int(digits, 0)
    return sign * int(digits, 8 if len(digits) > 1 and digits[0] == "0" else 10)
