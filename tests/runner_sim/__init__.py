"""A model of what GitHub's runner makes of a step's output and of its files.

Rules from github.com/actions/runner: ActionCommand.cs and ActionCommandManager.cs (workflow
commands), FileCommandManager.cs (GITHUB_OUTPUT, GITHUB_STEP_SUMMARY), ExecutionContext.cs (limits).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

ISSUES_A_TYPE = 10
MESSAGE_CHARACTERS = 4096
SUMMARY_BYTES = 1024 * 1024

_COMMAND = re.compile(r"^\s*::(?P<name>[^\s:]+)(?: (?P<properties>.*?))?::(?P<data>.*)$", re.DOTALL)
_OLD_COMMAND = re.compile(r"##\[(?P<name>[^\s\]]+)(?: (?P<properties>[^\]]*))?\](?P<data>.*)$")
_KNOWN = {
    *("add-mask", "add-matcher", "remove-matcher", "debug", "echo", "endgroup", "group"),
    *("error", "notice", "warning", "save-state", "set-env", "set-output", "add-path"),
    "stop-commands",
}


@dataclass(frozen=True, slots=True)
class Issue:
    level: str
    message: str
    properties: dict[str, str]


@dataclass(slots=True)
class Step:
    """What a person sees of the step, and what the runner did because of its output."""

    log: list[str] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    masks: set[str] = field(default_factory=set)
    obeyed: list[str] = field(default_factory=list)

    def add(self, issue: Issue) -> None:
        if sum(kept.level == issue.level for kept in self.issues) < ISSUES_A_TYPE:
            self.issues.append(issue)

    def errors(self) -> list[Issue]:
        return [issue for issue in self.issues if issue.level == "error"]


def read_log(text: str) -> Step:
    """Run the runner's parser over a step's stdout and stderr."""
    step = Step()
    token: str | None = None
    for line in text.split("\n"):
        command = _parse(line)
        if command is None:
            step.log.append(_masked(line, step.masks))
            continue
        name, properties, data = command
        if token is not None:
            if name == token:
                token = None
            else:
                step.log.append(_masked(line, step.masks))
            continue
        if name not in _KNOWN:
            step.log.append(_masked(line, step.masks))
            continue
        step.obeyed.append(name)
        if name == "stop-commands":
            token = data
        elif name == "add-mask":
            step.masks |= {part.strip() for part in [data, *data.splitlines()] if part.strip()}
        elif name == "group":
            step.groups.append(data)
        elif name in ("error", "warning", "notice"):
            message = _masked(data, step.masks)[:MESSAGE_CHARACTERS]
            step.add(Issue(name, message, properties))
    return step


def read_outputs(text: str) -> dict[str, str]:
    """GITHUB_OUTPUT: NAME=VALUE, or NAME<<END … END; whichever sign comes first in the line."""
    values: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        equals, heredoc = line.find("="), line.find("<<")
        if heredoc >= 0 and (equals < 0 or heredoc < equals):
            name, _, end = line.partition("<<")
            body: list[str] = []
            for part in lines:
                if part == end:
                    break
                body.append(part)
            else:
                raise ValueError(f"no line {end!r} ends the value of {name!r}")
            values[name] = "\n".join(body)
        elif equals >= 0:
            name, _, value = line.partition("=")
            values[name] = value
        else:
            raise ValueError(f"invalid format {line!r}")
    return values


def _parse(line: str) -> tuple[str, dict[str, str], str] | None:
    if found := _COMMAND.match(line):
        return found["name"].lower(), _properties(found["properties"]), _unescape(found["data"])
    if found := _OLD_COMMAND.search(line):
        return found["name"].lower(), _properties(found["properties"]), found["data"]
    return None


def _properties(text: str | None) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in (text or "").split(",") if "=" in pair)
    return {
        name.strip(): _unescape(value).replace("%3A", ":").replace("%2C", ",")
        for name, _, value in pairs
    }


def _unescape(text: str) -> str:
    return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


def _masked(text: str, masks: set[str]) -> str:
    for mask in sorted(masks, key=len, reverse=True):
        text = text.replace(mask, "***")
    return text
