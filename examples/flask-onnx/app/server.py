"""The service: `gunicorn app.server:app`."""

import os
from pathlib import Path

from flask import Flask, Response, jsonify, request

from app import VERSION
from app.scorer import Scorer

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 16 * 1024 * 1024
scorer = Scorer(Path(os.environ.get("MODEL_FOLDER", "/model")))


@app.get("/healthz")
def healthz() -> Response:
    return jsonify(status="ok")


@app.get("/version")
def version() -> Response:
    return jsonify(app=VERSION, model_sha256=scorer.sha256, model_release=scorer.release)


@app.post("/score")
def score() -> tuple[Response, int]:
    content = request.get_data()
    if not content:
        return jsonify(error="the request has no body: POST a file's bytes"), 400
    label, probability = scorer.score(content)
    return jsonify(label=label, score=round(probability, 4)), 200
