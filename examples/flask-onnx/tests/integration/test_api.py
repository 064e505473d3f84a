"""Run beside the app: MODEL_API_URL says where it is."""

import os

import pytest
import requests

API = os.environ["MODEL_API_URL"].rstrip("/")


def test_version_names_the_model() -> None:
    answer = requests.get(f"{API}/version", timeout=10)
    assert answer.status_code == 200
    assert len(answer.json()["model_sha256"]) == 64


@pytest.mark.parametrize(
    ("content", "label"),
    [
        ('#!/bin/sh\nset -eu\nfor f in *.txt; do\n  echo "$f"\ndone\n', "shell"),
        (
            "<!DOCTYPE html>\n<html><head><title>Hi</title></head><body><p>Hi</p></body></html>\n",
            "html",
        ),
    ],
)
def test_score_tells_the_kind_of_content(content: str, label: str) -> None:
    answer = requests.post(f"{API}/score", data=content.encode(), timeout=10)
    assert answer.status_code == 200
    assert answer.json()["label"] == label
    assert answer.json()["score"] > 0.5


def test_an_empty_request_is_refused() -> None:
    assert requests.post(f"{API}/score", data=b"", timeout=10).status_code == 400
