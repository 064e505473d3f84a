"""`.dockerignore` as BuildKit reads it: its lines → rules, a name → is it left out. Pure.

The rules of moby's patternmatcher, of Go's filepath.Match and regexp beneath it, and of the walk in
fsutil that asks it. A file that is wrongly taken for left out would leave a changed image unbuilt:
where one line is not read for certain as they read it, nothing counts as left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from posixpath import normpath

Hits = tuple[bool, ...]  # of one name, for each rule

_BOM = b"\xef\xbb\xbf"
# Control characters end the build; the others are read by Go's scanner in a way of its own. What is
# left, str.strip takes from a line's ends as Go does.
_UNSURE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\ufffd\ud800-\udfff]")
_WILD = frozenset("*?[]\\")
_SIGN = r"[ -/:-@\[-`{-~]"  # Go takes letters after a backslash for classes such as \d
_OF_SET = rf"(?:[^\\\]\[*?&|~-]|\\{_SIGN})"
# `^`, `|` and `{2}` go unescaped into their regular expression: whoever means that is rare.
_STEP = re.compile(
    r"(?P<deep>\*\*/?)|(?P<star>\*)|(?P<one>\?)"
    rf"|(?P<set>\[\^?+(?:{_OF_SET}(?:-{_OF_SET})?)+\])"
    rf"|\\(?P<escaped>{_SIGN})|(?P<plain>[^\\\[^|{{]|\{{(?!\d))|(?P<unsure>.)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    is_exception: bool
    names: re.Pattern[str]  # the whole name


def parse_rules(data: bytes) -> tuple[Rule, ...]:
    """`data`: of the file. No rules where a line is wrong or unclear: BuildKit may tell."""
    lines = data.removeprefix(_BOM).decode(errors="surrogateescape").split("\n")
    lines = [line for line in lines if not line.startswith("#")]
    if any(map(_UNSURE.search, lines)):
        return ()
    rules = [_rule(pattern) for pattern in map(_pattern, lines) if pattern]
    return () if None in rules else tuple(rule for rule in rules if rule)


def left_out(rules: Sequence[Rule], name: str, above: Hits = ()) -> tuple[bool, Hits]:
    """The last rule that hits decides. `above`: the hits of the folder that `name` is in.

    A rule that could not change the verdict is not asked, so it is no hit for what is below either.
    """
    out, hits = False, []
    for rule, hit_above in zip(rules, above or repeat(False), strict=False):
        asked = rule.is_exception == out
        hit = hit_above or (asked and rule.names.fullmatch(name) is not None)
        out = not rule.is_exception if hit else out
        hits.append(hit)
    return out, tuple(hits)


def _pattern(line: str) -> str:
    """As BuildKit's frontend passes it on: `/a`, `./a` and `a/` are `a`."""
    line = line.strip()
    mark = "!" if line.startswith("!") else ""
    path = line.removeprefix(mark).strip()
    cleaned = _clean(path) if path else ""
    return mark + (cleaned.removeprefix("/") if len(cleaned) > 1 else cleaned)


def _rule(pattern: str) -> Rule | None:
    """As the client reads what was passed on; None where it is wrong or unclear."""
    pattern = _clean(pattern.strip())
    is_exception = pattern.startswith("!")
    path = pattern.removeprefix("!")
    regex = _regex(path) if path else None
    try:
        return Rule(is_exception=is_exception, names=re.compile(regex)) if regex else None
    except re.error:  # [b-a]
        return None


def _clean(path: str) -> str:
    """filepath.Clean: normpath but for the two slashes that POSIX keeps."""
    return normpath(re.sub("^/+", "/", path))


def _regex(path: str) -> str | None:
    """None where it is unclear. With stars at one end alone it is compared as text: `**b` is the
    end of any name, while `**b?` is a name of its own."""
    if _is_text(path):
        return re.escape(path)
    if path.startswith("**/") and _is_text(path[3:]):
        return f"(?s:.*/)?{re.escape(path[3:])}"
    if path.startswith("**") and _is_text(path[2:]):
        return f"(?s:.*){re.escape(path[2:])}"
    if path.endswith("**") and _is_text(path[:-2]):
        return f"{re.escape(path[:-2])}(?s:.*)"
    steps = tuple(_STEP.finditer(path))
    return None if any(step["unsure"] for step in steps) else "".join(map(_step, steps))


def _is_text(part: str) -> bool:
    return _WILD.isdisjoint(part)


def _step(step: re.Match[str]) -> str:
    match step.lastgroup:
        case "deep":
            return "(?:.*/)?" if step.end() < len(step.string) else ".*"
        case "star":
            return "[^/]*"
        case "one":
            return "[^/]"
        case "set":
            return step[0]
        case _:
            return re.escape(step["escaped"] or step["plain"])
