"""YAML or JSON text → the nodes of each document. Says what is wrong, and on which line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # without libyaml: slower, the same

PLAIN = "plain"  # the tag of an unquoted scalar that bears none
TEXT, SEQUENCE, MAPPING = (f"tag:yaml.org,2002:{name}" for name in ("str", "seq", "map"))

_GLUED = re.compile(r"^---(?!#)\S.*", re.MULTILINE)
_BETWEEN = re.compile(r"(?:\s|^---[ \t]*(?:#.*)?$)*", re.MULTILINE)
_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB]..)\\u([dD][c-fC-F]..)")


class TreeError(Exception):
    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line, self.problem = line, problem


def line_of(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def nodes(text: str) -> Iterator[yaml.Node]:
    """The root of each document that has one. Raises TreeError."""
    for part in _json_parts(text) or (_yaml(text),):
        try:
            yield from _documents(yaml.parse(part, Loader=_LOADER))
        except yaml.MarkedYAMLError as error:
            line, column = _where(error, part)
            problem = ", ".join(filter(None, (error.context, error.problem)))
            raise TreeError(line, problem + _hint(part, line, column)) from error
        except yaml.YAMLError as error:
            raise TreeError(_unreadable_line(part), " ".join(str(error).split())) from error
        except RecursionError as error:
            raise TreeError(1, "it is nested too deeply") from error


def _yaml(text: str) -> str:
    """As the API's own reader takes it: `---x` is no text, and the last line has an end."""
    if glued := _GLUED.search(text):
        line = text.count("\n", 0, glued.start()) + 1
        raise TreeError(line, f"{glued[0][:20]!r} does not separate documents: `---` stands alone")
    return re.sub(r"^---#", "--- #", text, flags=re.MULTILINE) + "\n" * (not text.endswith("\n"))


def _json_parts(text: str) -> list[str]:
    """Each object of JSON text, on its own lines; empty when it is none. JSON may be indented by
    tabs, and writes what is beyond 16 bits as two escapes."""
    decoder, end, parts = json.JSONDecoder(), 0, list[str]()
    while (start := _start(text, end)) < len(text):
        try:
            _, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            return []
        part = _SURROGATES.sub(_character, text[start:end]).replace("\t", " ")
        parts.append("\n" * text.count("\n", 0, start) + part)
    return parts if text.lstrip().startswith("{") else []


def _start(text: str, end: int) -> int:
    between = _BETWEEN.match(text, end)
    return between.end() if between else end


def _character(match: re.Match[str]) -> str:
    units = bytes.fromhex(match[2] + match[3])
    return f"{match[1]}\\U{ord(units.decode('utf-16-be')):08x}"


def _documents(events: Iterator[yaml.Event]) -> Iterator[yaml.Node]:
    """Composed here, for an anchor may be given anew, which PyYAML's own composer refuses."""
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            yield _node(next(events), events, {})


def _node(
    event: yaml.Event, events: Iterator[yaml.Event], anchors: dict[str, yaml.Node]
) -> yaml.Node:
    start: Any = event.start_mark
    end: Any = event.end_mark
    match event:
        case yaml.AliasEvent():
            if event.anchor not in anchors:
                raise TreeError(start.line + 1, f"*{event.anchor}: there is no such anchor above")
            return anchors[event.anchor]
        case yaml.ScalarEvent():
            tag = event.tag if event.tag not in (None, "!") else None
            known = tag or (PLAIN if event.implicit[0] and event.tag != "!" else TEXT)
            return _known(
                event, yaml.ScalarNode(known, event.value, start, end, event.style), anchors
            )
        case yaml.SequenceStartEvent():
            node = yaml.SequenceNode(event.tag or SEQUENCE, [], start, end, event.flow_style)
            _known(event, node, anchors)
            while not isinstance(item := next(events), yaml.SequenceEndEvent):
                node.value.append(_node(item, events, anchors))
            return node
        case yaml.MappingStartEvent():
            node = yaml.MappingNode(event.tag or MAPPING, [], start, end, event.flow_style)
            _known(event, node, anchors)
            while not isinstance(key := next(events), yaml.MappingEndEvent):
                key_node = _node(key, events, anchors)
                node.value.append((key_node, _node(next(events), events, anchors)))
            return node
        case _:
            raise AssertionError(event)


def _known(event: yaml.NodeEvent, node: yaml.Node, anchors: dict[str, yaml.Node]) -> yaml.Node:
    if event.anchor:
        anchors[event.anchor] = node
    return node


def _where(error: yaml.MarkedYAMLError, text: str) -> tuple[int, int]:
    """Line and column. What has no end is noticed far below its beginning, or below it all."""
    seen = error.problem_mark
    is_open = re.search(r"simple key|quoted scalar", error.context or "")
    is_below = seen is not None and seen.line > text.rstrip().count("\n")
    begun = error.context_mark if is_open or is_below else None
    mark = begun or seen or error.context_mark
    return (mark.line + 1, mark.column) if mark else (1, 0)


def _hint(text: str, line: int, column: int) -> str:
    shown = (text.split("\n")[line - 1 : line] or [""])[0]
    if "{{" in shown or "{%" in shown:
        return ": this is a template, which a step before must render"
    indent = shown[: len(shown) - len(shown.lstrip())]
    if "\t" in indent or shown[column : column + 1] == "\t":
        return ": YAML is indented by spaces, here stands a tab"
    if shown[column : column + 1] in ("@", "`", "%"):
        return f": a value that begins with {shown[column]} must be quoted"
    return ""


def _unreadable_line(text: str) -> int:
    """Of the first character that no YAML may hold."""
    found = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    return text.count("\n", 0, found.start()) + 1 if found else 1
