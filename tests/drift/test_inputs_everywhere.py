"""Every place that lists the inputs and outputs says the same as the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelferry import __version__
from modelferry.checks import parse_checks
from modelferry.inputs import INPUTS, NAMES, Input, from_values
from modelferry.plan import make_plan, run_context
from modelferry.report import RunReport, outputs

ROOT = Path(__file__).parents[2]
OUTPUTS = tuple(outputs(RunReport(), ""))
ONLY_COMPOSITE = {"setup-python"}  # how Python comes to the runner; no input of ours


def action(path: str) -> dict[Any, Any]:
    return yaml.safe_load((ROOT / path).read_text())


CONTAINER, COMPOSITE = action("action.yml"), action("composite/action.yml")


def declaration(item: Input) -> dict[str, str]:
    return {"description": item.meaning} | ({"default": item.default} if item.default else {})


@pytest.mark.parametrize("item", INPUTS, ids=lambda item: item.name)
def test_both_actions_declare_the_input_as_the_code_does(item: Input) -> None:
    assert CONTAINER["inputs"][item.name] == declaration(item)
    assert COMPOSITE["inputs"][item.name] == declaration(item)


def test_the_actions_declare_nothing_else() -> None:
    names = [item.name for item in INPUTS]
    assert list(CONTAINER["inputs"]) == names
    assert [name for name in COMPOSITE["inputs"] if name not in ONLY_COMPOSITE] == names


def test_composite_forwards_every_input() -> None:
    forwarding = [
        step["env"] for step in COMPOSITE["runs"]["steps"] if "INPUT_MODEL" in step.get("env", {})
    ]
    expected = {
        f"INPUT_{name.upper().replace('-', '_')}": f"${{{{ inputs.{name} }}}}" for name in NAMES
    }
    assert len(forwarding) == 1
    given = {name: value for name, value in forwarding[0].items() if name.startswith("INPUT_")}
    assert given == expected


def test_both_actions_declare_the_outputs_of_the_report() -> None:
    assert tuple(CONTAINER["outputs"]) == OUTPUTS
    assert tuple(COMPOSITE["outputs"]) == OUTPUTS
    for name in OUTPUTS:
        described = COMPOSITE["outputs"][name]
        assert described.pop("value") == f"${{{{ steps.modelferry.outputs.{name} }}}}"
        assert described == CONTAINER["outputs"][name]


def test_the_composite_step_that_has_the_outputs_exists() -> None:
    assert [step.get("id") for step in COMPOSITE["runs"]["steps"]].count("modelferry") == 1


def test_the_container_action_is_built_from_this_tree_or_pinned() -> None:
    image = CONTAINER["runs"]["image"]
    assert image == "Dockerfile" or re.fullmatch(r"docker://\S+@sha256:[0-9a-f]{64}", image)


def rows(heading: str) -> list[str]:
    text = (ROOT / "docs/inputs.md").read_text()
    _, found, section = text.partition(f"# {heading}\n")
    assert found, f"docs/inputs.md has no heading {heading}"
    return [line for line in section.partition("\n#")[0].splitlines() if line.startswith("| `")]


@pytest.mark.parametrize(
    ("title", "items"),
    [(title, tuple(items)) for title, items in groupby(INPUTS, key=lambda item: item.title)],
)
def test_the_reference_has_the_same_rows(title: str, items: tuple[Input, ...]) -> None:
    expected = []
    for item in items:
        default = f"`{item.default}`" if item.default else item.otherwise
        expected.append(f"| `{item.name}` | {default} | {item.meaning} |".replace("|  |", "| |"))
    assert rows(title) == expected


def test_the_reference_has_the_same_outputs() -> None:
    expected = [
        f"| `{name}` | {described['description']} |"
        for name, described in CONTAINER["outputs"].items()
    ]
    assert rows("Outputs") == expected


README = (ROOT / "README.md").read_text()


def test_the_readme_leads_to_the_reference_and_names_every_output() -> None:
    assert "docs/inputs.md" in README
    assert [name for name in OUTPUTS if f"`{name}`" not in README] == []


def steps(value: object) -> Iterator[dict[str, str]]:
    """What is given to each step of ours, however deep it stands."""
    if isinstance(value, dict):
        if "/modelferry" in str(value.get("uses")):
            yield value.get("with", {})
        for each in value.values():
            yield from steps(each)
    elif isinstance(value, list):
        for each in value:
            yield from steps(each)


def test_the_workflows_in_the_readme_are_good_plans() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    found = [given for block in blocks for given in steps(yaml.safe_load(block))]
    assert len(found) >= 2
    for given in found:
        assert NAMES.issuperset(given)
        values = {name: re.sub(r"\$\{\{.*?\}\}", "eA==", str(text)) for name, text in given.items()}
        if "image" in values:
            values["image"] = f"{values['registry']}/{values['repository']}@sha256:{'a' * 64}"
        make_plan(from_values(values), run_context({"GITHUB_SHA": "a" * 40}))


def test_the_changelog_is_headed_by_this_version_or_by_what_is_to_come() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    newest = re.search(r"^## \[?(Unreleased|\d+\.\d+\.\d+)", text, re.MULTILINE)
    assert newest
    assert newest[1] in ("Unreleased", __version__)


def test_the_checks_in_the_reference_can_be_read() -> None:
    text = (ROOT / "docs/inputs.md").read_text()
    [block] = re.findall(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    checks, faults = parse_checks(block)
    assert len(checks) >= 5
    assert faults == ()
