from __future__ import annotations

import pytest

from modelferry.image.recipe.dockerfile import Recipe, read_recipe


def read(text: str, *targets: str | None, **build_args: str) -> Recipe:
    return read_recipe(text, targets or (None,), build_args=build_args)


@pytest.mark.parametrize(
    ("text", "base", "images"),
    [
        ("FROM python:3.13-slim\n", "python:3.13-slim", ["python:3.13-slim"]),
        ("from python:3.13\nrun x\n", "python:3.13", ["python:3.13"]),
        ("FROM --platform=$BUILDPLATFORM a AS b\n", "a", ["a"]),
        ("ARG TAG=1\nFROM reg:5000/a:${TAG}\n", "reg:5000/a:1", ["reg:5000/a:1"]),
        ("ARG TAG\nFROM a:${TAG:-2}\n", "a:2", ["a:2"]),
        ("ARG V=1\nARG TAG=$V-slim\nFROM a:$TAG\n", "a:1-slim", ["a:1-slim"]),
        ('ARG TAG="3"\nFROM a:$TAG\n', "a:3", ["a:3"]),
        ("FROM scratch\nCOPY x /\n", None, []),
        ("FROM a AS one\nFROM b\nCOPY --from=one /x /\n", "b", ["a", "b"]),
        ("FROM a AS One\nFROM one\n", "a", ["a"]),
        ("FROM a\nFROM b\nCOPY --from=0 /x /\n", "b", ["a", "b"]),
        ("FROM a AS unused\nFROM b\n", "b", ["b"]),
        ("FROM b\nCOPY --from=nginx:1.27 /x /\n", "b", ["b", "nginx:1.27"]),
        ("FROM b\nRUN --mount=type=bind,from=c,target=/x ls\n", "b", ["b", "c"]),
        ("FROM b\nRUN --mount=from=c,target=/x \\\n  --mount=from=d ls\n", "b", ["b", "c", "d"]),
        ("# syntax=docker/dockerfile:1\nFROM b\n", "b", ["b", "docker/dockerfile:1"]),
        ("# note\n# syntax=docker/dockerfile:1\nFROM b\n", "b", ["b"]),
        ("FROM b\nRUN <<EOF\nFROM nothing\nEOF\nRUN x\n", "b", ["b"]),
        ("FROM b\nRUN <<'A' && cat <<B\nFROM x\nA\nFROM y\nB\n", "b", ["b"]),
        ("FROM b\nRUN echo FROM c\n", "b", ["b"]),
        ("FROM b\nADD --checksum=sha256:aa https://x/y /\n", "b", ["b"]),
        ("FROM a AS one\nRUN echo $((1 << 3))\nFROM c\n", "c", ["c"]),
        ("FROM a\nRUN cat <<<hello\nCOPY --from=c /x /\n", "a", ["a", "c"]),
        ("FROM a\nENV REG=c\nCOPY --from=$REG /x /\n", "a", ["a", "c"]),
        ('FROM a\nADD local.tar ["/x y"]\n', "a", ["a"]),
    ],
)
def test_says_which_images_are_read(text: str, base: str | None, images: list[str]) -> None:
    recipe = read(text)
    assert recipe.base == base
    assert list(recipe.images) == images
    assert recipe.loose == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("FROM a:${TARGETARCH}\n", "line 1: FROM a:${TARGETARCH}"),
        ("FROM a\nADD https://x/y /\n", "line 2: ADD https://x/y has no --checksum"),
        ("FROM a\nADD git@example.org:x/y.git /\n", "has no --checksum"),
        ("FROM a\nARG X\nCOPY --from=$X /a /\n", "$X is not known"),
        ('FROM a\nADD "https://x/y" /\n', "has no --checksum"),
        ('FROM a\nADD ["https://x/y", "/"]\n', "has no --checksum"),
        ("FROM a\nARG AT=https://x\nADD ${AT}/y /\n", "ADD https://x/y has no --checksum"),
        ("FROM a\nENV AT https://x\nADD $AT/y /\n", "ADD https://x/y has no --checksum"),
        ("FROM a\nADD $AT/y /\n", "ADD $AT/y is not known beforehand"),
        ("FROM a\nONBUILD ADD https://x/y /\n", "ONBUILD acts in another build"),
        ("FROM a\nRUN <<EOF\nADD https://x/y /\n", "the heredoc EOF has no end"),
        ("RUN x\n", "it has no FROM"),
        ("", "it has no FROM"),
    ],
)
def test_says_what_may_change_behind_its_back(text: str, says: str) -> None:
    recipe = read(text)
    assert len(recipe.loose) == 1
    assert says in recipe.loose[0]


def test_build_arguments_win_over_defaults() -> None:
    assert read("ARG TAG=1\nFROM a:$TAG\n", TAG="9").base == "a:9"
    inside = "ARG TAG=1\nFROM a\nARG TAG\nCOPY --from=b:$TAG /x /\n"
    assert read(inside, TAG="9").images == ("a", "b:9")
    assert read(inside).images == ("a", "b:1")


def test_the_frontend_may_come_as_an_argument() -> None:
    assert read("FROM a\n", BUILDKIT_SYNTAX="my/frontend:2").images == ("a", "my/frontend:2")


def test_only_what_the_targets_need_counts() -> None:
    text = "FROM a AS base\nFROM b AS lint\nADD https://x/y /\nFROM base AS app\nFROM c AS suite\n"
    assert read(text, "app") == Recipe(base="a", images=("a",), loose=())
    assert read(text, "app", "suite").images == ("a", "c")
    assert read(text, "lint").loose


def test_a_named_context_wins_over_an_image() -> None:
    recipe = read_recipe("FROM a\nCOPY --from=assets /x /\n", build_args={}, contexts=["assets"])
    assert recipe.images == ("a",)
