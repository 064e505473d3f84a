"""What BuildKit's output says about a failed build: which step, which line, why. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

_STEP = re.compile(r" > \[(?!internal\])[^]]+\] (?P<step>.*):")
_LINE = re.compile(r"[^\s:]+:(?P<line>\d+)")  # alone on its line, with a rule under it
_RULE = re.compile(r"-{10,}")
_PARSE = re.compile(r"dockerfile parse error (?:on )?line (?P<line>\d+): (?P<reason>.*)")
_VARIABLE = re.compile(r"\$\{[^}]*\}|\$\w+")
_ERROR = re.compile(r"(?:ERROR|error): (?P<reason>.*)")
_BASE = re.compile(r" > \[[^]]+\] load metadata for (?P<reference>\S+):")
_PUSH = re.compile(r"(?:#\d+ )?ERROR: failed to push (?P<reference>\S+): ")
_REFUSED = re.compile(
    r"failed to (?:authorize|fetch \w+ token)|\b40[13] (?:Unauthorized|Forbidden)|unauthorized:"
    r"|no basic auth credentials"
)
_WRAPPING = re.compile(
    r"failed to build: |failed to solve: |rpc error: code = \w+ desc = "
    r"|failed to solve with frontend [\w.]+: |failed to create LLB definition: "
    r"|failed to authorize: |\S+: failed to resolve source metadata for \S+: "
    r"|executor failed running \[.*?\]: |process \".*\" did not complete successfully: "
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFailure:
    step: str  # the instruction as BuildKit shows it; empty when no step failed
    line: int | None  # of the Dockerfile
    reason: str
    refused: str = ""  # the image that a registry did not let us have
    unpushed: str = ""  # the image that did not get into its registry, though it was built
    by_login: bool = False  # because of who we are there


def explain(lines: Sequence[str], dockerfile: str) -> BuildFailure:
    step = next((m["step"] for m in map(_STEP.fullmatch, lines) if m), "")
    errors = [m["reason"] for m in map(_ERROR.match, lines) if m]
    reason = errors[-1] if errors else (lines[-1] if lines else "no output")
    if parse := _PARSE.search(reason):
        return BuildFailure(step=step, line=int(parse["line"]), reason=parse["reason"])
    base = next((m["reference"] for m in map(_BASE.fullmatch, lines) if m), "")
    sought = step or (f"FROM {base}" if base else "")
    if push := next((m for m in map(_PUSH.match, lines) if m), None):
        refused = bool(_REFUSED.search(reason))
        reason = _WRAPPING.sub("", reason)
        pushed = push["reference"]
        return BuildFailure(step="", line=None, reason=reason, unpushed=pushed, by_login=refused)
    return BuildFailure(
        step=step,
        line=_reported_line(lines) or (find_instruction(dockerfile, sought) if sought else None),
        reason=_WRAPPING.sub("", reason),
        refused=base if _REFUSED.search(reason) else "",
    )


def find_instruction(dockerfile: str, step: str) -> int | None:
    """The line where the instruction begins. BuildKit before 0.11 does not tell it, and shows
    variables by their values."""
    instructions = list(_instructions(dockerfile))
    wanted = _squeeze(step)
    same = [line for line, text in instructions if _with_values(text).fullmatch(wanted)]
    if same:
        return same[0]
    word = wanted.partition(" ")[0].upper()
    alike = [line for line, text in instructions if text.partition(" ")[0].upper() == word]
    return alike[0] if len(alike) == 1 else None


def _reported_line(lines: Sequence[str]) -> int | None:
    for text, below in pairwise(lines):
        found = _LINE.fullmatch(text)
        if found and _RULE.fullmatch(below):
            return int(found["line"])
    return None


def _instructions(dockerfile: str) -> Iterator[tuple[int, str]]:
    """Each instruction on one line, with the number of the line where it begins."""
    begun, parts = 0, list[str]()
    for number, raw in enumerate(dockerfile.splitlines(), 1):
        text = raw.strip()
        if not text or text.startswith("#"):
            continue
        begun = begun if parts else number
        parts.append(text.removesuffix("\\"))
        if not text.endswith("\\"):
            yield begun, _squeeze(" ".join(parts))
            parts = []
    if parts:
        yield begun, _squeeze(" ".join(parts))


def _with_values(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, _VARIABLE.split(text))))


def _squeeze(text: str) -> str:
    return " ".join(text.split())
