from typing import Any, cast

import pytest

from modelferry.engine import Engine
from modelferry.image.run_images import RunImages, outdated
from modelferry.values import is_repository, is_tag

NO_ENGINE = cast("Engine", None)


def images(key: str, **given: Any) -> RunImages:
    return RunImages(engine=NO_ENGINE, key=key, run_label="modelferry-42-0a1b2c3d", **given)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("reg.azurecr.io/team/score", "reg-azurecr-io-team-score"),
        ("127.0.0.1:5000/score", "127-0-0-1-5000-score"),
        ("/app/Dockerfile#Team/My.App__2", "app-dockerfile-team-my-app-2"),
        ("/app/Dockerfile#größe", "app-dockerfile-gr-e"),
        ("/" + "long/" * 99, ("long-" * 20).strip("-")),
        ("/", "image"),
    ],
)
def test_names_are_valid_and_go_nowhere(key: str, words: str) -> None:
    host, _, repository = images(key).repository.partition("/")
    assert host == "modelferry.invalid"
    assert repository.rpartition("-")[0] == words
    assert is_repository(repository)
    for part in ("app", "image", "target"):
        assert is_tag(images(key).name(part).rpartition(":")[2])


def test_keys_that_read_alike_are_kept_apart() -> None:
    assert images("a.example/team/score").repository != images("b.example/team/score").repository


def test_parts_and_runs_do_not_share_names() -> None:
    one, two = images("a/b", since=1), images("a/b", since=2)
    names = {run.name(part) for run in (one, two) for part in ("app", "image", "target")}
    assert len(names) == 6


@pytest.mark.parametrize(
    ("tags", "going"),
    [
        ((), ()),
        (("newest-9-a",), ()),
        (("newest-9-a", "newest-10-b", "newest-8-c"), ("newest-8-c", "newest-9-a")),
        (("newest-9-b", "newest-9-a"), ("newest-9-a",)),
        (("running-100000-image-a", "newest-5-a"), ()),
        (("running-99999-image-a", "running-13600-app-b"), ("running-13600-app-b",)),
        (("latest", "newest", "running-x-image-a", "mine-1-a"), ()),
    ],
)
def test_what_goes(tags: tuple[str, ...], going: tuple[str, ...]) -> None:
    assert outdated(tags, 100_001.0) == going
    assert outdated(tuple(reversed(tags)), 100_001.0) == going
