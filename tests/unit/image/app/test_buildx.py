from dataclasses import replace
from pathlib import Path

from modelferry.image.app.buildx import (
    NO_CACHE,
    Cache,
    build_flags,
    child_env,
    registry_cache,
    secret_env,
)
from modelferry.values import ImageRef, Secret
from tests.build_spec import plain_spec

PLAIN = plain_spec(Path("/w/app"), kept_as="reg.example/app")
ALWAYS = [
    "--progress",
    "plain",
    "--provenance=false",
    "--file",
    "/w/app/Dockerfile",
    "--metadata-file",
    "/t/build.json",
]


def flags(cache: Cache = NO_CACHE, **given: object) -> list[str]:
    made = build_flags(replace(PLAIN, **given), Path("/t/build.json"), cache)
    assert made[: len(ALWAYS)] == ALWAYS
    return made[len(ALWAYS) :]


def test_every_build_input_becomes_its_flag() -> None:
    assert flags() == []
    assert flags(
        target="prod",
        platform="linux/arm64",
        pull=True,
        no_cache=True,
        build_args=(("A", "1"), ("B", "x y=z")),
        build_contexts=(("lib", "../lib"),),
        labels=(("team", "risk"),),
        cache_from=("type=registry,ref=r/app:cache",),
        cache_to=("type=inline",),
    ) == [
        *("--target", "prod"),
        *("--platform", "linux/arm64"),
        "--pull",
        "--no-cache",
        *("--build-arg", "A=1"),
        *("--build-arg", "B=x y=z"),
        *("--build-context", "lib=../lib"),
        *("--label", "team=risk"),
        *("--cache-from", "type=registry,ref=r/app:cache"),
        *("--cache-to", "type=inline"),
    ]


def test_a_secret_is_in_the_environment_and_never_in_the_flags() -> None:
    secrets = (("pip", Secret("hunter2")), ("odd,id", Secret("swordfish")))
    given = flags(build_secrets=secrets)
    assert given == [
        *("--secret", "id=pip,env=MODELFERRY_BUILD_SECRET_0"),
        *("--secret", '"id=odd,id",env=MODELFERRY_BUILD_SECRET_1'),
    ]
    assert secret_env(replace(PLAIN, build_secrets=secrets)) == {
        "MODELFERRY_BUILD_SECRET_0": "hunter2",
        "MODELFERRY_BUILD_SECRET_1": "swordfish",
    }


def test_the_build_sees_neither_our_inputs_nor_the_users_chosen_builder() -> None:
    environ = {"PATH": "/bin", "INPUT_PASSWORD": "x", "BUILDX_BUILDER": "mine", "DOCKER_HOST": "h"}
    assert child_env(environ) == {"PATH": "/bin", "DOCKER_HOST": "h"}


OURS = registry_cache(ImageRef.parse("reg.example/app"), "mf-main-app")
FROM_OURS = ("--cache-from", "type=registry,ref=reg.example/app:mf-main-app")


def test_the_last_release_is_where_a_build_finds_its_cache() -> None:
    assert flags(OURS) == [*FROM_OURS, "--cache-to", "type=inline"]
    first = registry_cache(ImageRef.parse("reg.example/app"), None)
    assert flags(first) == ["--cache-to", "type=inline"]


def test_the_users_caches_are_kept() -> None:
    theirs = flags(OURS, cache_from=("type=gha",), cache_to=("type=gha,mode=max",))
    assert theirs == ["--cache-from", "type=gha", *FROM_OURS, "--cache-to", "type=gha,mode=max"]


def test_no_cache_reads_none_and_leaves_one() -> None:
    assert flags(OURS, no_cache=True) == ["--no-cache", "--cache-to", "type=inline"]
