"""Run inside the image: python -m pytest /code/tests/unit"""

import io
import sys
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from driver import get_model_api


def picture(colour: str) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(target, "PNG")
    return target.getvalue()


@pytest.mark.parametrize("colour", ["red", "green", "blue", "white", "black"])
def test_a_plain_picture_is_named_after_its_colour(colour: str) -> None:
    assert get_model_api()(picture(colour))[0][0] == colour


def test_probabilities_sum_to_one_and_fall() -> None:
    found = [p for _, p in get_model_api()(picture("orange"))]
    assert sum(found) == pytest.approx(1)
    assert found == sorted(found, reverse=True)


def test_labels_and_weights_must_fit(tmp_path: Path) -> None:
    code = Path(__file__).parents[2]
    (tmp_path / "weights.csv").write_bytes((code / "weights.csv").read_bytes())
    (tmp_path / "synset.txt").write_text("red\n")
    with pytest.raises(ValueError, match="do not fit 1 labels"):
        get_model_api(tmp_path)
