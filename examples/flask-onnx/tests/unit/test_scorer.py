"""Run inside the image, where the model is: python -m pytest tests/unit"""

import os
from pathlib import Path

import pytest
from app.scorer import Scorer

PYTHON = b"""\
import sys


def main():
    print(sys.argv)


if __name__ == "__main__":
    main()
"""
SHELL = b"""\
#!/bin/sh
set -eu
for name in *.txt; do
  echo "$name"
done
"""


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(Path(os.environ.get("MODEL_FOLDER", "/model")))


def test_features_hold_both_ends_of_a_long_content(scorer: Scorer) -> None:
    values = scorer.features(b"A" * 5000 + b"Z" * 5000)[0]
    assert values[0] == ord("A")
    assert values[-1] == ord("Z")


def test_a_short_content_is_padded_in_the_middle(scorer: Scorer) -> None:
    values = scorer.features(b"  ab  ")[0]
    assert list(values[:2]) == [ord("a"), ord("b")]
    assert list(values[-2:]) == [ord("a"), ord("b")]
    assert set(values[4:-4].tolist()) == {scorer.padding}


def test_an_empty_content_is_all_padding(scorer: Scorer) -> None:
    assert set(scorer.features(b"")[0].tolist()) == {scorer.padding}


@pytest.mark.parametrize(("content", "label"), [(PYTHON, "python"), (SHELL, "shell")])
def test_the_model_knows_its_languages(scorer: Scorer, content: bytes, label: str) -> None:
    found, probability = scorer.score(content)
    assert found == label
    assert 0.5 < probability <= 1
