"""What is said of a release and the delivery after it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from modelferry.artifacts import Descriptor
from modelferry.image.compose import Pairs
from modelferry.image.released import BUILD_KEY, Released, ReleasedImage
from modelferry.last_release.changed import (
    BUILD_PARTS,
    BuildKey,
    compared,
    parts_of,
    read_parts,
    what_changed,
)
from modelferry.values import Digest

FACTS = {
    "modelferry": "1",
    "context": "c",
    "dockerfile": "d",
    "images": {"python:3.13": "sha256:1", "alpine:3": "sha256:2"},
    "build": {
        "target": None,
        "args": (("MODE", "fast"), ("SEED", "1")),
        "secrets": [],
        "contexts": [("data", "x")],
        "platform": "linux/amd64",
        "builder": "docker",
    },
    "model": {"files": ["v3"]},
    "tests": {"port": None},
}


def key(
    version: str | None = "v3", digest: str = "k", labels: Pairs = (), **different: object
) -> BuildKey:
    build = {**FACTS["build"], **{k: v for k, v in different.items() if k in FACTS["build"]}}
    given = {k: v for k, v in different.items() if k in FACTS}
    facts = {**FACTS, "build": build, **given}
    return BuildKey(digest=digest, parts=parts_of(facts, version, labels))


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (key(), ()),
        (key("v4", model={"files": ["v4"]}), ("model v3 → v4",)),
        (key(model={"files": ["v4"]}), ("model (of the same version, v3)",)),
        (key("spring"), ()),  # a name alone is no change
        (key(None, model=None), ("model (gone)",)),
        (key(context="e"), ("build context",)),
        (key(context="e", dockerfile="e"), ("build context", "Dockerfile")),
        (
            key(images={"python:3.13": "sha256:3", "alpine:3": "sha256:2"}),
            ("image python:3.13",),
        ),
        (
            key(images={"python:3.14": "sha256:1", "alpine:3": "sha256:2"}),
            ("image python:3.14 (new)", "image python:3.13 (gone)"),
        ),
        (key(args=(("MODE", "slow"), ("SEED", "1"))), ("build-arg MODE",)),
        (key(args=(("MODE", "fast"),)), ("build-arg SEED (gone)",)),
        (key(contexts=[("data", "y")]), ("build context data",)),
        (key(secrets=["token"]), ("build-secrets (new)",)),
        (key(target="app"), ("target (new)",)),
        (key(platform="linux/arm64"), ("platform",)),
        (key(builder="tcp://b"), ("builder",)),
        (key(tests=None), ("tests (gone)",)),
        (key(modelferry="2"), ("Modelferry",)),
        (key(labels=(("team", "lynx"),)), ()),  # they ask for no build
    ],
    ids=lambda each: "; ".join(each) if isinstance(each, tuple) else "",
)
def test_what_changed_is_named(now: BuildKey, said: tuple[str, ...]) -> None:
    assert what_changed(key().parts, now.parts) == said
    written = dict(now.annotations)
    assert written[BUILD_KEY] == "k"
    assert read_parts(written) == now.parts


def test_no_value_is_written_down() -> None:
    written = json.dumps(key(args=(("TOKEN", "hunter2hunter2"),)).annotations)
    assert "TOKEN" in written
    assert "hunter2" not in written


def test_very_many_parts_are_not_written_down() -> None:
    many = key(args=tuple((f"A{number}", "1") for number in range(5000)))
    assert [name for name, _ in many.annotations] == [BUILD_KEY]


CONFIG = Descriptor(media_type="c", digest=Digest("sha256:" + "c" * 64), size_bytes=2)
IMAGE = ReleasedImage(
    digest=Digest("sha256:" + "a" * 64),
    manifest=b"{}",
    config=CONFIG,
    layers=(),
    annotations=dict(key().annotations),
)
WHOLE = Released(image=IMAGE, present=frozenset({CONFIG.digest}))


def untold(text: str | None) -> Released:
    said = {BUILD_KEY: "k", **({BUILD_PARTS: text} if text is not None else {})}
    return replace(WHOLE, image=replace(IMAGE, annotations=said))


@pytest.mark.parametrize(
    ("released", "now", "says"),
    [
        (Released(), key(), "nothing was released before"),
        (Released(unreadable="app:mf-main cannot be read"), key(), "app:mf-main cannot be read"),
        (WHOLE, key(), f"nothing changed since {IMAGE.digest}"),
        (WHOLE, None, "nobody can tell whether something changed: `no-cache`"),
        (
            WHOLE,
            key("v4", "other", model={"files": ["v4"]}, context="e"),
            f"changed since {IMAGE.digest}: model v3 → v4, build context",
        ),
        (replace(WHOLE, present=frozenset()), key(), "but the registry has not all of it"),
        (untold(None), key(digest="other"), "which does not say what it was made of"),
        (untold("[7]"), key(digest="other"), "which does not say what it was made of"),
    ],
)
def test_how_it_is_told(released: Released, now: BuildKey | None, says: str) -> None:
    assert says in compared(released, now, "`no-cache`")


LABELS = (("team", "lynx"), ("tier", "1"))
KEEPS = "but `labels`: a reused image keeps those it has"


@pytest.mark.parametrize(
    ("before", "now", "keeps"),
    [
        ((), (), False),
        (LABELS, LABELS[::-1], False),
        (LABELS, (("team", "fox"), ("tier", "1")), True),
        ((), LABELS, True),
        (LABELS, (), True),
    ],
)
def test_labels_that_will_not_arrive_are_told_of(before: Pairs, now: Pairs, *, keeps: bool) -> None:
    image = replace(IMAGE, annotations=dict(key(labels=before).annotations))
    told = compared(replace(WHOLE, image=image), key(labels=now), "")
    assert told == f"nothing changed since {IMAGE.digest}{f' {KEEPS}' if keeps else ''}"
    other = compared(replace(WHOLE, image=image), key(digest="other", context="e", labels=now), "")
    assert other == f"changed since {IMAGE.digest}: build context"


def test_a_long_list_is_cut() -> None:
    many = key(digest="other", args=tuple((f"A{number}", "1") for number in range(20)))
    told = compared(WHOLE, many, "")
    assert told.endswith("build-arg A7 (new), 14 more")
