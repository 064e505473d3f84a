from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.errors import Fault
from modelferry.plan import Plan, RunContext
from modelferry.plan.image import default_tags, managed_tags, valid_tag
from modelferry.plan.spec import ManagedTags
from modelferry.values import is_tag

DIGEST = "sha256:" + "a" * 64


def test_paths_are_relative_to_the_workspace(plan_of: Callable[..., Plan]) -> None:
    build = plan_of({"context": "app"}).build
    assert build
    assert build.context == Path("/workspace/app")
    assert build.file == Path("/workspace/app/Dockerfile")
    other = plan_of({"context": "/srv/app", "file": "docker/Dockerfile"}).build
    assert other
    assert (other.context, other.file) == (
        Path("/srv/app"),
        Path("/workspace/docker/Dockerfile"),
    )


def test_build_inputs(plan_of: Callable[..., Plan]) -> None:
    build = plan_of(
        {
            "target": "prod",
            "build-args": 'A=1\r\nB=x=y\nSET\nUNSET\n"C=two\nlines with ""quotes"""\nD=',
            "build-secrets": 'pip=hunter2\n"npmrc=line1\nline2"',
            "build-contexts": "base=docker-image://alpine\nlib=../lib",
            "labels": "org.example.team=ferry, boats\n#note=kept",
            "pull": "TRUE",
            "no-cache": "true",
            "cache-from": "type=registry,ref=reg/a\ntype=local,src=/c",
            "cache-to": "type=inline",
            "platform": "linux/arm64/v8",
            "builder": "tcp://127.0.0.1:1234",
        },
        SET="from the environment",
    ).build
    assert build
    assert build.target == "prod"
    assert build.build_args == (
        ("A", "1"),
        ("B", "x=y"),
        ("SET", "from the environment"),
        ("C", 'two\nlines with "quotes"'),
        ("D", ""),
    )
    assert [(name, value.reveal()) for name, value in build.build_secrets] == [
        ("pip", "hunter2"),
        ("npmrc", "line1\nline2"),
    ]
    assert dict(build.build_contexts) == {"base": "docker-image://alpine", "lib": "../lib"}
    assert build.cache_from == ("type=registry,ref=reg/a", "type=local,src=/c")
    assert (build.pull, build.no_cache, build.cache_to) == (True, True, ("type=inline",))
    assert (build.platform, build.builder) == ("linux/arm64/v8", "tcp://127.0.0.1:1234")


def test_default_tags_are_the_commit_and_the_branch(plan_of: Callable[..., Plan]) -> None:
    push = plan_of().push
    assert push
    assert push.tags == ("sha-0123456789ab", "feature-lynx")
    assert str(push.name) == "reg.azurecr.io/team/score"


def test_given_tags_replace_the_default_ones(plan_of: Callable[..., Plan]) -> None:
    push = plan_of({"tags": "v1.2\r\n\nlatest\nv1.2"}).push
    assert push
    assert push.tags == ("v1.2", "latest")


def test_registry_access(plan_of: Callable[..., Plan]) -> None:
    push = plan_of(
        {
            "registry": "localhost:5000",
            "username": "ferry",
            "password": "hunter2",
            "insecure-registry": "true",
        }
    ).push
    assert push
    assert push.access.password
    assert push.access.password.reveal() == "hunter2"
    assert (push.access.host, push.access.plain_http) == ("localhost:5000", True)


def test_the_registrys_login_is_the_builds_too(plan_of: Callable[..., Plan]) -> None:
    given = {"username": "ferry", "password": "hunter2", "repository": "", "stages": "build test"}
    plan = plan_of(given)
    assert plan.push is None
    assert plan.build
    assert plan.build.login
    login = plan.build.login
    assert (login.host, login.username) == ("reg.azurecr.io", "ferry")
    assert login.password.reveal() == "hunter2"
    without = plan_of().build
    assert without
    assert without.login is None


@given(st.text(max_size=200))
def test_a_branch_never_gives_an_invalid_tag(branch: str) -> None:
    assert valid_tag(branch) == "" or is_tag(valid_tag(branch))


def test_no_default_tag_is_a_managed_one(context: RunContext) -> None:
    assert default_tags(replace(context, branch="mf-main")) == ("sha-0123456789ab",)


@given(branch=st.none() | st.text(), commit=st.none() | st.text())
def test_default_tags_are_never_invalid(branch: str | None, commit: str | None) -> None:
    context = RunContext(
        workspace=Path("/w"),
        temp=Path("/t"),
        run_id="1",
        run_attempt=1,
        repository=None,
        commit=None,
        branch=None,
        server_url=None,
    )
    assert all(is_tag(tag) for tag in default_tags(replace(context, branch=branch, commit=commit)))


@pytest.mark.parametrize(
    ("branch", "tag"),
    [
        ("main", "main"),
        ("dependabot/pip/x-1.2", "dependabot-pip-x-1.2"),
        ("--odd", "odd"),
        ("12/merge", "12-merge"),
        ("über", "ber"),
        ("a" * 200, "a" * 128),
        ("///", ""),
    ],
)
def test_branches_become_tags(branch: str, tag: str) -> None:
    assert valid_tag(branch) == tag


@pytest.mark.parametrize(
    ("branch", "default", "managed"),
    [
        (None, "main", None),
        ("///", "main", None),
        (
            "main",
            "main",
            ManagedTags(image="mf-main", app="mf-main-app", fallback_image=None, fallback_app=None),
        ),
        (
            "feature/x",
            "main",
            ManagedTags(
                image="mf-feature-x",
                app="mf-feature-x-app",
                fallback_image="mf-main",
                fallback_app="mf-main-app",
            ),
        ),
        (
            "x",
            None,
            ManagedTags(image="mf-x", app="mf-x-app", fallback_image=None, fallback_app=None),
        ),
    ],
)
def test_a_branch_without_its_own_starts_from_the_default_branch(
    branch: str | None, default: str | None, managed: ManagedTags | None
) -> None:
    assert managed_tags(branch, default) == managed


@given(st.text(max_size=300))
def test_managed_tags_are_never_invalid(branch: str) -> None:
    managed = managed_tags(branch, None)
    assert managed is None or (is_tag(managed.image) and is_tag(managed.app))


@pytest.mark.parametrize(
    ("given", "name", "says"),
    [
        ({"context": "https://github.com/o/r.git"}, "context", "must be a path"),
        ({"context": "git@github.com:o/r"}, "context", "must be a path"),
        ({"target": "two words"}, "target", "one word"),
        ({"target": "--push"}, "target", "one word"),
        ({"build-args": "A=1\nnot an argument"}, "build-args line 2", "NAME=VALUE"),
        ({"build-args": "=1"}, "build-args line 1", "NAME=VALUE"),
        ({"build-args": "A=1\n\nA=2"}, "build-args line 3", "already"),
        (
            {"build-args": "TOKEN=hunter2", "username": "u", "password": "hunter2"},
            "build-args",
            "TOKEN holds a secret",
        ),
        (
            {"build-args": "SECRET_FROM_ENV", "username": "u", "password": "hunter2"},
            "build-args",
            "SECRET_FROM_ENV holds a secret",
        ),
        (
            {"labels": "a=hunter2", "build-secrets": "pip=hunter2"},
            "labels",
            "a holds a secret",
        ),
        ({"build-secrets": "hunter2"}, "build-secrets line 1", "id=value"),
        ({"build-contexts": "lib"}, "build-contexts line 1", "name=PATH"),
        ({"labels": "label"}, "labels line 1", "NAME=VALUE"),
        ({"pull": "always"}, "pull", "true or false"),
        ({"platform": "linux/amd64,linux/arm64"}, "platform", "one platform"),
        ({"platform": "amd64"}, "platform", "os/arch"),
        ({"builder": "mybuilder"}, "builder", "tcp://"),
        ({"builder": "http://host:1234"}, "builder", "tcp://"),
        ({"builder": "tcp://"}, "builder", "tcp://"),
        ({"registry": "https://reg.azurecr.io"}, "registry", "write reg.azurecr.io"),
        ({"registry": "reg.azurecr.io/"}, "registry", "write reg.azurecr.io"),
        (
            {"registry": "http://reg.azurecr.io/team"},
            "registry",
            "write reg.azurecr.io, and team to repository",
        ),
        ({"registry": "ferry:hunter2@reg.azurecr.io"}, "registry", "write reg.azurecr.io"),
        ({"registry": "https://ferry:hunter2@reg.io"}, "registry", "write reg.io"),
        ({"registry": "my registry"}, "registry", "login server such as"),
        ({"repository": "Team/Score"}, "repository", "write team/score"),
        ({"repository": "team/score:v1"}, "repository", "write team/score, and use tags"),
        ({"repository": "reg.azurecr.io/team/score"}, "repository", "write team/score"),
        ({"repository": "team//score"}, "repository", "lower-case words"),
        ({"repository": "a" * 256}, "repository", "lower-case words"),
        ({"tags": "v1,v2"}, "tags line 1", "one tag a line"),
        ({"tags": "v1\nmf-main-app"}, "tags line 2", "only the tags that Modelferry keeps"),
        ({"tags": "v1\nreg.azurecr.io/team/score:v1"}, "tags line 2", "the tag alone"),
        ({"tags": "feature/x"}, "tags line 1", "write feature-x"),
        ({"tags": "a" * 129}, "tags line 1", "at most 128"),
        ({"username": "ferry"}, "username", "without password"),
        ({"password": "hunter2"}, "password", "without username"),
        ({"insecure-registry": "http"}, "insecure-registry", "true or false"),
        ({"stages": "deploy", "image": "reg.azurecr.io/team/score:v1"}, "image", "@sha256:"),
        ({"stages": "deploy", "image": "reg.azurecr.io/team/score@sha256:1"}, "image", "64 lower"),
        ({"stages": "deploy", "image": f"@{DIGEST}"}, "image", "no image name"),
    ],
)
def test_refuses(
    faults_of: Callable[..., tuple[Fault, ...]], given: dict[str, str], name: str, says: str
) -> None:
    [fault] = faults_of(given, SECRET_FROM_ENV="hunter2")
    assert fault.name == name
    assert says in fault.allowed
    assert "hunter2" not in str(fault)
