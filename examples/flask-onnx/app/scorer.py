"""The ONNX model and the features it was trained on."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime


class Scorer:
    """Loads once, at start: a broken or missing model stops the app before it takes a request."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        model = (folder / "model.onnx").read_bytes()
        self.labels: list[str] = config["target_labels_space"]
        self.head_size: int = config["beg_size"]
        self.tail_size: int = config["end_size"]
        self.block_size: int = config["block_size"]
        self.padding: int = config["padding_token"]
        self.sha256 = hashlib.sha256(model).hexdigest()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a pod's CPU limit is not what the library counts
        self.session = onnxruntime.InferenceSession(model, options)
        self.input_name = self.session.get_inputs()[0].name
        self.release = self.session.get_modelmeta().custom_metadata_map.get("release", "")

    def features(self, content: bytes) -> np.ndarray:
        """First and last bytes without the blanks around them, padded to the model's size."""
        head = content[: self.block_size].lstrip()[: self.head_size]
        tail = content[-self.block_size :].rstrip()[-self.tail_size :]
        values = np.full((1, self.head_size + self.tail_size), self.padding, dtype=np.int32)
        values[0, : len(head)] = list(head)
        if tail:
            values[0, -len(tail) :] = list(tail)
        return values

    def score(self, content: bytes) -> tuple[str, float]:
        """The likeliest label and its probability."""
        (probabilities,) = self.session.run(None, {self.input_name: self.features(content)})
        best = int(np.argmax(probabilities[0]))
        return self.labels[best], float(probabilities[0][best])
