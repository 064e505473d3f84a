"""Run beside the app: MODEL_API_URL says where it is."""

import os
from pathlib import Path

import requests

API = os.environ["MODEL_API_URL"].rstrip("/")
PICTURE = Path(__file__).parent / "blue.png"


def test_version() -> None:
    answer = requests.get(f"{API}/version", timeout=10)
    assert answer.status_code == 200
    assert answer.json() == {"version": "1.0"}


def test_score_of_a_posted_picture() -> None:
    answer = requests.post(f"{API}/score", files={"image": PICTURE.read_bytes()}, timeout=10)
    assert answer.status_code == 200
    best = answer.json()["result"][0]
    assert best["label"] == "blue"
    assert best["probability"] > 0.5


def test_what_is_no_picture_is_refused() -> None:
    assert requests.post(f"{API}/score", data=b"no picture", timeout=10).status_code == 400
