"""The hashed requirements are what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(name: str) -> dict[str, Version]:
    text = (ROOT / "requirements" / name).read_text()
    return {
        match[1].lower().replace("_", "-"): Version(match[2])
        for match in re.finditer(r"^([A-Za-z0-9._-]+)==([^ \\;]+)", text, re.MULTILINE)
    }


@pytest.mark.parametrize("file", ["runtime.txt", "dev.txt"])
def test_every_dependency_is_locked_at_a_version_that_is_allowed(file: str) -> None:
    versions = locked(file)
    for text in PROJECT["project"]["dependencies"]:
        wanted = Requirement(text)
        assert wanted.name in versions, f"{wanted.name} is not in {file}: run scripts/lock"
        assert versions[wanted.name] in wanted.specifier, f"{text}: run scripts/lock"


def test_the_development_lock_has_the_development_tools() -> None:
    versions = locked("dev.txt")
    for text in PROJECT["dependency-groups"]["dev"]:
        assert Requirement(text).name in versions, f"{text}: run scripts/lock"


def test_both_locks_agree() -> None:
    runtime, dev = locked("runtime.txt"), locked("dev.txt")
    assert {name: dev.get(name) for name in runtime} == runtime


@pytest.mark.parametrize("file", ["runtime.txt", "dev.txt"])
def test_every_file_is_hashed_and_no_index_is_named(file: str) -> None:
    text = (ROOT / "requirements" / file).read_text()
    assert len(re.findall(r"^\S+==", text, re.MULTILINE)) == len(locked(file))
    for block in re.split(r"\n(?=\S+==)", text)[1:]:
        assert "--hash=sha256:" in block, block.splitlines()[0]
    assert "http" not in re.sub(r"aiohttp\S*|http\w+==|# .*", "", text)
