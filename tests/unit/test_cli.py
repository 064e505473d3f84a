from __future__ import annotations

from pathlib import Path

import pytest

from modelferry import __version__
from modelferry.cli import COMMANDS, parse
from modelferry.errors import InputError
from modelferry.inputs import INPUTS, Input, Inputs, from_values, read_environment


def inputs_of(folder: Path, *argv: str, **environ: str) -> Inputs:
    command, inputs, warnings = parse(["plan", *argv], environ=environ, folder=folder)
    assert (command, warnings) == ("plan", ())
    return inputs


@pytest.mark.parametrize("command", ["run", "check", "plan"])
def test_commands(tmp_path: Path, command: str) -> None:
    assert parse([command], environ={}, folder=tmp_path) == (command, Inputs(), ())


@pytest.mark.parametrize("command", ["history", "rollback"])
def test_commands_that_need_no_delivery(tmp_path: Path, command: str) -> None:
    (tmp_path / "modelferry.yml").write_text("stages: fetch build\n")
    expected = from_values({"stages": "rollback"})
    assert parse([command], environ={}, folder=tmp_path) == (command, expected, ())


@pytest.mark.parametrize("item", INPUTS, ids=lambda item: item.name)
def test_every_way_in_gives_the_same_inputs(tmp_path: Path, item: Input) -> None:
    expected = from_values({item.name: "true"})
    assert expected != Inputs() or item.default == "true"
    assert inputs_of(tmp_path, f"--{item.name}", "true") == expected
    assert inputs_of(tmp_path, f"--{item.name}=true") == expected
    variable = f"INPUT_{item.name.upper().replace('-', '_')}"
    assert inputs_of(tmp_path, **{variable: "true"}) == expected
    assert read_environment({variable: "true"})[0] == expected
    (tmp_path / "modelferry.yml").write_text(f"{item.name}: true\n")
    assert parse(["run"], environ={}, folder=tmp_path)[1] == expected


def test_lines_repeat(tmp_path: Path) -> None:
    inputs = inputs_of(tmp_path, "--model", "s3://b/a => /x/", "--pull", "--model", "s3://b/c")
    assert inputs.model.model == "s3://b/a => /x/\ns3://b/c"
    assert inputs.image.pull == "true"


@pytest.mark.parametrize("flags", [("--stages", "build", "--stages", "push"), ("--pull", "--pull")])
def test_what_takes_one_value_is_not_given_twice(tmp_path: Path, flags: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=f"{flags[0]} is given twice"):
        inputs_of(tmp_path, *flags)


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "modelferry.yml").write_text(
        "namespace: file\nrelease: file\ntimeout: 1m\ntags: [file]\n"
    )
    inputs = inputs_of(
        tmp_path,
        "--namespace",
        "flag",
        "--timeout=",
        INPUT_NAMESPACE="environment",
        INPUT_RELEASE="environment",
    )
    assert inputs.cluster.namespace == "flag"
    assert inputs.cluster.release == "environment"
    assert inputs.image.tags == "file"
    assert inputs.cluster.timeout == "10m"  # taken back to its default


def test_warnings_of_file_and_environment_are_handed_on(tmp_path: Path) -> None:
    (tmp_path / "modelferry.yml").write_text("password: hunter2\n")
    _, _, warnings = parse(["run"], environ={"INPUT_MODLE": "x"}, folder=tmp_path)
    assert len(warnings) == 2
    assert "password is a secret" in warnings[0]
    assert "did you mean model?" in warnings[1]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["rnu"], "rnu: is no command: run, check, plan, history, rollback, did you mean run?"),
        (["promote"], "promote: is no command"),
        (["run", "--modle", "x"], "--modle: is no flag, did you mean --model?"),
        (["run", "--dry_run"], "--dry_run: is no flag, did you mean --dry-run?"),
        (["run", "--azure-storage", "hunter2"], "--azure-storage: is no flag"),
        (["run", "--passwrod=hunter2"], "--passwrod: is no flag, did you mean --password?"),
        (["run", "hunter2"], "a word without a flag"),
        (["run", "--port"], "expected one argument"),
    ],
)
def test_refuses(tmp_path: Path, argv: list[str], says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(argv, environ={}, folder=tmp_path)
    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_faults_of_flags_and_file_come_together(tmp_path: Path) -> None:
    (tmp_path / "modelferry.yml").write_text("modle: x\n")
    with pytest.raises(InputError) as caught:
        parse(["run", "--tagz", "x"], environ={}, folder=tmp_path)
    assert [fault.name for fault in caught.value.faults] == ["--tagz", "modelferry.yml line 1"]


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "modelferry.yml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="UTF-8"):
        parse(["run"], environ={}, folder=tmp_path)


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_help(tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(argv, environ={}, folder=tmp_path)
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)


def test_help_of_a_command_names_every_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(["run", "--help"], environ={}, folder=tmp_path)
    shown = " ".join(capsys.readouterr().out.split())
    assert all(f"--{item.name} " in shown for item in INPUTS)
    assert "shows in the process list: rather set INPUT_AZURE_STORAGE_KEY" in shown


def test_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--version"], environ={}, folder=tmp_path)
    assert capsys.readouterr().out == f"modelferry {__version__}\n"
