"""What the person at the terminal sees of a run: the action's verdicts, its groups folded."""

import sys
from collections.abc import Mapping
from typing import Any

from modelferry.values import format_bytes, format_duration

_VERDICTS = ("✓", "✗", "!", "·")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Narrator:
    """Hears act's events; says the few that matter. The whole is in the log."""

    def __init__(self) -> None:
        self._folded = False

    def hear(self, event: Mapping[str, Any]) -> None:
        text = str(event["msg"]).rstrip()
        match event.get("command"):
            case "group":
                self._folded = True
                say(f"  … {event['arg']}")
            case "endgroup":
                self._folded = False
            case "error" | "warning":
                say(f"  {event['command']}: " + event["arg"].replace("\n", "\n    "))
            case None if event.get("raw_output"):
                if not self._folded and text.startswith(_VERDICTS):
                    say(f"  {text}")
            case None if "docker build" in text:
                say("  … the action's own image, built from its Dockerfile")


def stage_table(report: Mapping[str, Any]) -> str:
    rows = [("stage", "time", "bytes moved", "")]
    for stage in report["stages"]:
        moved = "" if stage["bytes"] is None else format_bytes(stage["bytes"])
        rows.append((stage["name"], format_duration(stage["seconds"]), moved, stage["figure"]))
    total = sum(stage["seconds"] for stage in report["stages"])
    rows.append(("all", format_duration(total), "", ""))
    return "\n".join(f"  {a:<10}{b:>9}{c:>14}   {d}".rstrip() for a, b, c, d in rows)
