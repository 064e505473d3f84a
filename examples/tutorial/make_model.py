"""Make the tutorial's model: python make_model.py FOLDER

A linear classifier whose classes are prototypes: the logit of a class is -S·|x - p|² without the
part all classes share, so weights and bias follow from the prototype and nothing is trained.
"""

import sys
from pathlib import Path

SHARPNESS = 8.0
PROTOTYPES = {
    "red": (1, 0, 0),
    "green": (0, 0.5, 0),
    "blue": (0, 0, 1),
    "yellow": (1, 1, 0),
    "white": (1, 1, 1),
    "grey": (0.5, 0.5, 0.5),
    "black": (0, 0, 0),
}


def make_model(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        [*(2 * SHARPNESS * x for x in point), -SHARPNESS * sum(x * x for x in point)]
        for point in PROTOTYPES.values()
    ]
    lines = [",".join(map(str, row)) for row in rows]
    (folder / "weights.csv").write_text("".join(f"{line}\n" for line in lines))
    (folder / "synset.txt").write_text("".join(f"{name}\n" for name in PROTOTYPES))


if __name__ == "__main__":
    make_model(Path(sys.argv[1]))
