"""Tells what kind of content a file holds. The model, magika's, is read from /model at start."""

VERSION = "1"
