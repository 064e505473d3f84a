"""The web API around the driver."""

from driver import get_model_api
from flask import Flask, Response, jsonify, request
from PIL import UnidentifiedImageError

VERSION = "1.0"

app = Flask(__name__)
model_api = get_model_api()


@app.get("/")
def health() -> str:
    return "Healthy"


@app.get("/version")
def version() -> Response:
    return jsonify(version=VERSION)


@app.post("/score")
def score() -> tuple[Response, int]:
    upload = request.files.get("image")
    picture = upload.read() if upload else request.get_data()
    try:
        result = model_api(picture)
    except UnidentifiedImageError:
        return jsonify(error="no picture: POST one as the body or as the form field `image`"), 400
    return jsonify(result=[{"label": label, "probability": p} for label, p in result[:3]]), 200
