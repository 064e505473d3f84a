import json
import os
from urllib.request import urlopen


def test_version_in_target():
    with urlopen(os.environ["MODEL_API_URL"] + "/version") as answer:
        assert json.load(answer) == {"version": "1.4.2"}
