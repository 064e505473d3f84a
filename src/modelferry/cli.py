"""`modelferry COMMAND`: every input as a flag, also from modelferry.yml and INPUT_*."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NoReturn, cast

from modelferry import __version__
from modelferry.errors import Fault, InputError
from modelferry.inputs import (
    INPUTS,
    NAMES,
    Input,
    Inputs,
    environment_name,
    environment_values,
    from_values,
    suggest,
)
from modelferry.settings_file import NAME as SETTINGS_FILE
from modelferry.settings_file import read_settings

Command = Literal["run", "check", "plan", "history", "rollback"]

COMMANDS: Mapping[Command, str] = {
    "run": "carry the model and the app as far as `stages` says",
    "check": "do the preflight only: is everything there, and are we allowed",
    "plan": "say what would happen, asking nobody",
    "history": "list what was released in the namespace, and what came of it",
    "rollback": "return to the release before the current one, or to the one that `--to` names",
}
_STAGES: Mapping[str, str] = {"history": "rollback", "rollback": "rollback"}  # else the user's


def parse(
    argv: Sequence[str], *, environ: Mapping[str, str], folder: Path
) -> tuple[Command, Inputs, tuple[str, ...]]:
    """The command, its inputs, and warnings: flags win over INPUT_*, those over modelferry.yml.

    Raises InputError with every fault. Help and version end the program, as argparse has it.
    """
    parser = _parser()
    command = argv[0] if argv else ""
    if command not in COMMANDS:
        if not argv or command.startswith("-"):
            parser.parse_args(argv or ["--help"])
        raise InputError(
            Fault(
                name=command,
                given=None,
                allowed=f"is no command: {', '.join(COMMANDS)}{suggest(command, COMMANDS)}",
            )
        )
    faults: list[Fault] = []
    flags, rest = parser.parse_known_args(argv)
    faults += _unknown(rest)
    settings, notes = _settings(folder, faults)
    environment, warnings = environment_values(environ)
    if faults:
        raise InputError(*faults)
    given = {
        item.name: _text(value)
        for item in INPUTS
        if (value := getattr(flags, item.attribute)) is not None
    }
    stages = {"stages": _STAGES[command]} if command in _STAGES else {}
    inputs = from_values({**settings, **environment, **given, **stages})
    return cast("Command", command), inputs, (*notes, *warnings)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(Fault(name="the command line", given=None, allowed=message))


def _parser() -> argparse.ArgumentParser:
    flags = _Parser(add_help=False, allow_abbrev=False)
    for title, items in groupby(INPUTS, key=lambda item: item.title):
        group = flags.add_argument_group(title)
        for item in items:
            group.add_argument(f"--{item.name}", **_options(item))
    parser = _Parser(
        prog="modelferry",
        description="Fetch a private model, build it into an image, test, push and deploy it.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"modelferry {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, meaning in COMMANDS.items():
        commands.add_parser(
            name,
            help=meaning,
            usage=f"modelferry {name} [--INPUT VALUE ...]",
            description=f"{meaning[0].upper()}{meaning[1:]}.",
            epilog=f"Flags may also stand in {SETTINGS_FILE}, or in the environment as INPUT_*.",
            parents=[flags],
            allow_abbrev=False,
        )
    return parser


def _options(item: Input) -> dict[str, Any]:
    """For argparse's add_argument."""
    meaning = item.meaning
    if item.secret and item.name != "kubeconfig":
        meaning += (
            f" As a flag it shows in the process list: rather set {environment_name(item.name)}."
        )
    if default := item.default or item.otherwise:
        meaning += f" Default: {default}."
    text = meaning.replace("%", "%%")
    match item.kind:
        case "boolean":
            return {
                "action": _Once,
                "nargs": "?",
                "const": "true",
                "metavar": "true|false",
                "help": text,
            }
        case "lines":
            return {"action": "append", "metavar": "LINE", "help": f"{text} Repeatable."}
        case "text":
            return {"action": _Once, "metavar": "VALUE", "help": text}


class _Once(argparse.Action):
    """argparse would keep the last of several and say nothing."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest, None) is not None:
            parser.error(f"{option_string} is given twice")
        setattr(namespace, self.dest, values)


def _unknown(rest: Sequence[str]) -> list[Fault]:
    """Never the word after an unknown flag: it may be the value of a misspelt secret."""
    flags = [word.partition("=")[0] for word in rest if word.startswith("-")]
    if rest and not flags:
        return [Fault(name="the command line", given=None, allowed="has a word without a flag")]
    return [
        Fault(name=flag, given=None, allowed=f"is no flag{_suggest_flag(flag)}") for flag in flags
    ]


def _suggest_flag(flag: str) -> str:
    return re.sub("mean ", "mean --", suggest(flag.lstrip("-").replace("_", "-"), NAMES))


def _settings(folder: Path, faults: list[Fault]) -> tuple[dict[str, str], tuple[str, ...]]:
    path = folder / SETTINGS_FILE
    if not path.is_file():
        return {}, ()
    try:
        return read_settings(path.read_text(encoding="utf-8"))
    except InputError as error:
        faults += error.faults
    except UnicodeDecodeError:
        faults.append(Fault(name=SETTINGS_FILE, given=None, allowed="must be text in UTF-8"))
    return {}, ()


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "\n".join(value)
