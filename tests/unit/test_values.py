from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.values import (
    ImageRef,
    Secret,
    format_bytes,
    format_duration,
    format_names,
    is_registry_host,
    is_repository,
    is_tag,
    parse_digest,
    parse_duration,
    uncoloured,
)

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"

repositories = st.from_regex(
    r"[a-z0-9]{1,9}([._-][a-z0-9]{1,9}){0,2}(/[a-z0-9]{1,9}){0,2}", fullmatch=True
)
registries = st.sampled_from(["docker.io", "reg.azurecr.io", "localhost", "localhost:5000", "h:1"])
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True)


@given(registries, repositories, st.none() | tags, st.booleans())
def test_image_references_come_back_as_they_were(
    registry: str, repository: str, tag: str | None, pinned: bool
) -> None:
    official = registry == "docker.io" and "/" not in repository
    ref = ImageRef(
        registry=registry,
        repository=f"library/{repository}" if official else repository,
        tag=tag,
        digest=parse_digest(DIGEST) if pinned else None,
    )
    assert ImageRef.parse(str(ref)) == ref


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag"),
    [
        ("nginx", "docker.io", "library/nginx", None),
        ("nginx:1.27", "docker.io", "library/nginx", "1.27"),
        ("team/score", "docker.io", "team/score", None),
        ("localhost/score", "localhost", "score", None),
        ("localhost:5000/score", "localhost:5000", "score", None),
        ("reg.azurecr.io/a/b_c:v1", "reg.azurecr.io", "a/b_c", "v1"),
        ("[::1]:5000/score:v1", "[::1]:5000", "score", "v1"),
    ],
)
def test_reads_references_as_docker_does(
    text: str, registry: str, repository: str, tag: str | None
) -> None:
    ref = ImageRef.parse(text)
    assert (ref.registry, ref.repository, ref.tag, ref.digest) == (registry, repository, tag, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no image name"),
        ("Score", "no image name"),
        ("reg.azurecr.io/", "no image name"),
        ("reg.azurecr.io/a//b", "no image name"),
        ("https://reg.azurecr.io/a", "no registry address"),
        ("score:", "the tag is empty"),
        ("score:-v1", "is no tag"),
        ("score:" + "a" * 129, "is no tag"),
        ("score@", "is no digest"),
        ("score@sha256:0123", "is no digest"),
        (f"score@sha256:{HEX.upper()}", "is no digest"),
        ("re_g.io/score", "no registry address"),
    ],
)
def test_refuses_references(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        ImageRef.parse(text)


@given(st.text())
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        ref = ImageRef.parse(text)
    except ValueError:
        return
    assert is_registry_host(ref.registry)
    assert is_repository(ref.repository)


def test_a_reference_names_a_digest_or_a_tag() -> None:
    ref = ImageRef.parse("reg.azurecr.io/score:v1")
    assert str(ref.pinned(parse_digest(DIGEST))) == f"reg.azurecr.io/score@{DIGEST}"
    assert str(ref.pinned(parse_digest(DIGEST)).tagged("v2")) == "reg.azurecr.io/score:v2"
    assert ref.name == "reg.azurecr.io/score"


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_durations_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@pytest.mark.parametrize("text", ["", "10", "m", "10 m", "-1s", "1d", "1s ", "1,5m", "1.s", "٣s"])
def test_refuses_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3660, "1 h 1 min"),
    ],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1.5 * 1024**2, "1.5 MiB"),
        (5 * 1024**3, "5.0 GiB"),
        (3 * 1024**4, "3.0 TiB"),
    ],
)
def test_bytes_for_people(count: float, text: str) -> None:
    assert format_bytes(count) == text


def test_secrets_do_not_show_themselves() -> None:
    secret = Secret("hunter2")
    shown = f"{secret} {secret!r} {secret:>9} {[secret]} %s" % secret
    assert "hunter2" not in shown
    assert secret.reveal() == "hunter2"
    assert (bool(secret), bool(Secret(""))) == (True, False)
    assert str(Secret("")) == ""
    with pytest.raises(AttributeError):
        secret._value = "x"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("tag", ["v1", "_", "a" * 128, "1.2-rc.1"])
def test_tags(tag: str) -> None:
    assert is_tag(tag)


@pytest.mark.parametrize("tag", ["", ".a", "-a", "a/b", "a b", "ü", "a" * 129, "v1\n"])
def test_no_tags(tag: str) -> None:
    assert not is_tag(tag)


@pytest.mark.parametrize("name", ["A", "a//b", "a__-b", "/a", "a/", "a..b", "a" * 256, "a\n"])
def test_no_repositories(name: str) -> None:
    assert not is_repository(name)


def test_of_many_names_some_are_told() -> None:
    assert format_names(["a", "b"], most=2) == "a, b"
    assert format_names(["a", "b", "c", "d"], most=2) == "a, b and 2 more"


def test_what_a_program_says_in_colours_is_told_without() -> None:
    assert uncoloured("\x1b[35m\x1b[1mGET / \x1b[0m[3] 503\x1b[K") == "GET / [3] 503"
