import os

import requests


def test_the_model_is_served() -> None:
    assert requests.get(os.environ["MODEL_API_URL"], timeout=10).text == "1,2,3\n"


def test_something_else_is_served() -> None:
    assert requests.get(os.environ["MODEL_API_URL"], timeout=10).text == "something else"
