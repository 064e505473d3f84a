from __future__ import annotations

import re

import pytest

from modelferry.errors import InputError
from modelferry.settings_file import read_settings


def test_scalars_are_taken_as_written() -> None:
    values, warnings = read_settings(
        """
        model-version: 1.10
        port: 0088
        pull: true
        namespace: "models"
        timeout: 10m
        release:
        platform: ~
        unit-tests: |
          pytest -x
          ruff check
        """
    )
    assert values == {
        "model-version": "1.10",
        "port": "0088",
        "pull": "true",
        "namespace": "models",
        "timeout": "10m",
        "release": "",
        "platform": "",
        "unit-tests": "pytest -x\nruff check\n",
    }
    assert warnings == ()


def test_lines_may_be_a_list() -> None:
    values, _ = read_settings(
        """
        model:
          - azblob://acct/models/{latest}/ => /code/
          - s3://bucket/labels.txt
        tags: [v1, 1.0]
        manifests: k8s/
        """
    )
    assert values == {
        "model": "azblob://acct/models/{latest}/ => /code/\ns3://bucket/labels.txt",
        "tags": "v1\n1.0",
        "manifests": "k8s/",
    }


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n"])
def test_an_empty_file_gives_nothing(text: str) -> None:
    assert read_settings(text) == ({}, ())


def test_a_secret_in_a_file_is_warned_about() -> None:
    values, [warning] = read_settings("password: hunter2\nkubeconfig: ~/.kube/config\n")
    assert values["password"] == "hunter2"
    assert warning == (
        "modelferry.yml line 1: password is a secret, better in the environment as"
        " INPUT_PASSWORD than in a file"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("modle: x", "modelferry.yml line 1: modle is no input, did you mean model?"),
        ("dry_run: true", "dry_run is no input, did you mean dry-run?"),
        ("\nport: 1\nport: 2", "modelferry.yml line 3: port is there already"),
        ("port: [1, 2]", "port must be one value"),
        ("port: {a: 1}", "port must be one value"),
        ("tags: {a: 1}", "tags must be one value, or a list of lines"),
        ("checks:\n  - GET /: x", "quote an entry"),
        ("tags:\n  - [a]", "a list of lines"),
        ("- model", "must hold lines"),
        ("just text", "must hold lines"),
        ("a: [", "modelferry.yml, line 1: is no YAML"),
        ("a: b: c", "is no YAML"),
        ("port: 1\n\tpull: true", "modelferry.yml, line 2: is no YAML"),
        ("a: 1\n---\nb: 2", "is no YAML"),
        ("\x00", "is no YAML"),
        ("? [a]\n: 1", "is no input"),
    ],
)
def test_refuses(text: str, says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        read_settings(text)


def test_every_fault_at_once() -> None:
    with pytest.raises(InputError) as caught:
        read_settings("modle: hunter2\nport: [1]\npull: true\npull: false\n")
    assert [fault.name for fault in caught.value.faults] == [
        "modelferry.yml line 1",
        "modelferry.yml line 2",
        "modelferry.yml line 4",
    ]
    assert "hunter2" not in str(caught.value)
