"""The model: which named colour a picture shows most likely.

Two files, beside this one: `weights.csv`, a row of weights and a bias for each class, and
`synset.txt`, the classes' names in that order.
"""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent

ScoreFn = Callable[[bytes], list[tuple[str, float]]]


def get_model_api(folder: Path = HERE) -> ScoreFn:
    """Loads the model; the function returned scores a picture's bytes, likeliest class first."""
    weights = np.loadtxt(folder / "weights.csv", delimiter=",", ndmin=2)
    synset = (folder / "synset.txt").read_text().split()
    if weights.shape != (len(synset), 4):
        raise ValueError(f"weights of shape {weights.shape} do not fit {len(synset)} labels")

    def score(picture: bytes) -> list[tuple[str, float]]:
        probabilities = softmax(weights[:, :3] @ mean_colour(picture) + weights[:, 3])
        order = np.argsort(probabilities)[::-1]
        return [(synset[i], float(probabilities[i])) for i in order]

    return score


def mean_colour(picture: bytes) -> np.ndarray:
    """Red, green and blue from 0 to 1, averaged over the picture."""
    with Image.open(io.BytesIO(picture)) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    return pixels.mean(axis=(0, 1))


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
