from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from modelferry.errors import InputError
from modelferry.inputs import INPUTS, NAMES, Input, Inputs, from_values, read_environment, suggest
from modelferry.values import Secret


def test_names_are_kebab_case_and_given_once() -> None:
    assert len(NAMES) == len(INPUTS)
    assert all(name == name.lower() and "_" not in name for name in NAMES)


def test_every_input_has_one_sentence() -> None:
    for item in INPUTS:
        assert item.meaning.endswith("."), item.name
        assert item.meaning[0].isupper(), item.name
        assert "\n" not in item.meaning


def test_nothing_given_means_the_defaults() -> None:
    assert read_environment({}) == (Inputs(), ())
    blank = {f"INPUT_{item.name.upper()}": " \n" for item in INPUTS}
    assert read_environment(blank) == (Inputs(), ())


@pytest.mark.parametrize("item", INPUTS, ids=lambda item: item.name)
@pytest.mark.parametrize("hyphens", ["kept", "as underscores"])
def test_every_input_is_read_in_both_spellings(item: Input, hyphens: str) -> None:
    name = item.name.upper()
    variable = f"INPUT_{name if hyphens == 'kept' else name.replace('-', '_')}"
    inputs, warnings = read_environment({variable: "given"})
    assert warnings == ()
    value = getattr(getattr(inputs, item.group), item.attribute)
    assert value == (Secret("given") if item.secret else "given")
    assert inputs != Inputs()


def test_values_are_stripped_but_lines_keep_their_numbers() -> None:
    inputs, _ = read_environment(
        {"INPUT_NAMESPACE": " models\n", "INPUT_CHECKS": "\nGET /\n", "INPUT_PASSWORD": "hunter2\n"}
    )
    assert inputs.cluster.namespace == "models"
    assert inputs.tests.checks == "\nGET /\n"
    assert inputs.image.password.reveal() == "hunter2"


def test_the_same_value_in_both_spellings_is_no_fault() -> None:
    inputs, _ = read_environment({"INPUT_DRY-RUN": "true", "INPUT_DRY_RUN": "true"})
    assert inputs.what.dry_run == "true"


def test_blank_in_one_spelling_does_not_count() -> None:
    inputs, _ = read_environment({"INPUT_DRY-RUN": "", "INPUT_DRY_RUN": "true"})
    assert inputs.what.dry_run == "true"


def test_two_values_for_one_input_are_refused_and_not_shown() -> None:
    with pytest.raises(InputError) as caught:
        read_environment(
            {
                "INPUT_AZURE-STORAGE-KEY": "hunter2",
                "INPUT_AZURE_STORAGE_KEY": "hunter3",
                "INPUT_DRY-RUN": "true",
                "INPUT_DRY_RUN": "false",
            }
        )
    assert [fault.name for fault in caught.value.faults] == ["azure-storage-key", "dry-run"]
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("INPUT_MODLE", ", did you mean model?"),
        ("INPUT_MODEL_SHA_256", ", did you mean model-sha256?"),
        ("INPUT_SETUP-PYTHON", ""),
        ("INPUT_", ""),
    ],
)
def test_an_unknown_variable_is_a_warning(variable: str, near: str) -> None:
    inputs, [warning] = read_environment({variable: "hunter2"})
    assert inputs == Inputs()
    assert warning == f"{variable} is no input and is ignored{near}"


def test_other_variables_are_not_looked_at() -> None:
    assert read_environment({"MODEL": "x", "GITHUB_SHA": "y", "XINPUT_MODEL": "z"})[1] == ()


def test_inputs_do_not_change() -> None:
    inputs = from_values({})
    with pytest.raises(FrozenInstanceError):
        inputs.what.stages = "deploy"  # pyright: ignore[reportAttributeAccessIssue]


def test_suggests_only_what_is_near() -> None:
    assert suggest("tagz", ("tags", "image")) == ", did you mean tags?"
    assert suggest("zebra", ("tags", "image")) == ""
