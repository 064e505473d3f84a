"""The inputs: one table, that the fields below are, and the only reader of INPUT_*.

Values stay text here; modelferry.plan reads them. A field's name with `-` for `_` is the input's
name in action.yml, as a flag and in modelferry.yml. A field of type Secret is never shown.
"""
# ruff: noqa: RUF009 - the calls make dataclass fields

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast

from modelferry.errors import Fault, InputError
from modelferry.values import Secret

Kind = Literal["text", "lines", "boolean"]


def _text(meaning: str, default: str = "", *, otherwise: str = "") -> str:
    """`otherwise` says in words what happens when nothing is given."""
    return field(default=default, metadata=_facts("text", meaning, otherwise))


def _lines(meaning: str, *, otherwise: str = "") -> str:
    return field(default="", metadata=_facts("lines", meaning, otherwise))


def _boolean(meaning: str, default: str = "false") -> str:
    return field(default=default, metadata=_facts("boolean", meaning, ""))


def _secret(meaning: str, kind: Kind = "text") -> Secret:
    return field(default=Secret(""), metadata=_facts(kind, meaning, ""))


def _facts(kind: Kind, meaning: str, otherwise: str) -> dict[str, str]:
    return {"kind": kind, "meaning": meaning, "otherwise": otherwise}


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatToDo:
    """What to do"""

    stages: str = _text(
        "Stages that this step runs, always in the order fetch, build, test, push, deploy; "
        "`build` implies `fetch`, and without `push` nothing is uploaded. `rollback` stands alone.",
        "fetch build test push deploy",
    )
    dry_run: str = _boolean(
        "Do all that reads and nothing that writes: preflight, plan, server-side dry run and diff "
        "of the manifests."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInputs:
    """The model"""

    model: str = _lines(
        "Lines `SOURCE` or `SOURCE => PATH-IN-IMAGE`, where SOURCE is "
        "`azblob://ACCOUNT/CONTAINER/BLOB`, `s3://BUCKET/KEY`, `https://…` or `file:PATH`, and "
        "PATH is a folder when it ends in `/` (`/model/` when left out)."
    )
    model_version: str = _text(
        "Label of the model's version, for people.",
        otherwise="the version that the first `{latest}` or `{newest}` chose, else the source's"
        " version id, else its ETag; of several files, digits that change with any of them",
    )
    model_marker: str = _text(
        "Name of a file such as `_SUCCESS` that says a model folder is complete: folders without "
        "it are passed over by `{latest}` and refused otherwise."
    )
    model_sha256: str = _lines(
        "SHA-256 that the model must have: `HEX` for one file, else lines `HEX NAME`."
    )
    model_in_context: str = _boolean(
        "Also put the model's files in the build context, for a Dockerfile that needs them while "
        "building."
    )
    azure_storage_endpoint: str = _text(
        "Address of Blob storage for private endpoints, Azure Stack and Azurite (path style "
        "includes the account).",
        otherwise="from the account and `azure-environment`",
    )
    azure_storage_key: Secret = _secret("Account key for Blob storage.")
    azure_storage_sas_token: Secret = _secret("SAS token for Blob storage.")
    azure_storage_connection_string: Secret = _secret("Connection string for Blob storage.")
    s3_endpoint: str = _text("Address of an S3-compatible storage.", otherwise="AWS")
    aws_region: str = _text("Region of the S3 bucket.")
    aws_access_key_id: Secret = _secret("Access key id for S3.")
    aws_secret_access_key: Secret = _secret("Secret access key for S3.")
    aws_session_token: Secret = _secret("Session token that belongs to a temporary access key.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInputs:
    """The image"""

    context: str = _text("Path of the build context, with the files that earlier steps made.", ".")
    file: str = _text("Path of the Dockerfile.", otherwise="`Dockerfile` in the context")
    target: str = _text("Stage of the Dockerfile to build.", otherwise="the last")
    build_args: str = _lines(
        "Build arguments, lines `NAME=VALUE`; `NAME` alone takes the environment's value."
    )
    build_secrets: Secret = _secret(
        "Secrets for `RUN --mount=type=secret`, lines `id=value`.", "lines"
    )
    build_contexts: str = _lines("Additional build contexts, lines `name=PATH-OR-ADDRESS`.")
    labels: str = _lines("Labels of the image, lines `NAME=VALUE`.")
    pull: str = _boolean("Always look for a newer version of the base images.")
    no_cache: str = _boolean("Build without the cache.")
    cache_from: str = _lines("Sources of build cache, lines such as `type=registry,ref=…`.")
    cache_to: str = _lines("Where build cache is written, lines such as `type=inline`.")
    platform: str = _text(
        "Platform of the image, as `os/arch` or `os/arch/variant`; one that the engine cannot run "
        "is refused together with `test`.",
        otherwise="the engine's",
    )
    builder: str = _text(
        "Where to build: `docker` for the runner's daemon, else a BuildKit address (`tcp://…`, "
        "`unix://…`, `docker-container://…`, `kube-pod://…`).",
        "docker",
    )
    registry: str = _text("Login server of the registry, such as `myregistry.azurecr.io`.")
    repository: str = _text("Name of the image in the registry, such as `team/score`.")
    tags: str = _lines(
        "Tags of the image, one a line. `mf-BRANCH` and `mf-BRANCH-app` are Modelferry's own, by "
        "which the next run knows the last.",
        otherwise="`sha-` with 12 digits of the commit (of a clean checkout), and the branch",
    )
    username: str = _text(
        "User name for the registry, for the push and for base images in it.",
        otherwise="Docker's own login",
    )
    password: Secret = _secret("Password or token that belongs to `username`.")
    insecure_registry: str = _boolean(
        "Speak plain http to the registry, for one on a private network."
    )
    reuse: str = _boolean(
        "Take the digest of the last release and build nothing when context, Dockerfile, build "
        "inputs, base images, model and tests are the same as for that one. `.git` does not count: "
        "a build that reads it wants `false`, or the commit as a build argument.",
        "true",
    )
    image: str = _text(
        "Image built before, for a job that only deploys: `registry/repository@sha256:…`."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AppTestInputs:
    """The tests"""

    unit_tests: str = _text("Command that is run inside a container of the image.")
    port: str = _text(
        "Port that the app listens on.",
        otherwise="the image's first exposed port; on pods, the container's first port",
    )
    health_path: str = _text("Path that is polled until the app answers.", "/")
    start_timeout: str = _text("How long the app may take until it answers.", "60s")
    test_env: str = _lines("Environment of the app under test, lines `NAME=VALUE`.")
    checks: str = _lines(
        "Requests that the built container, and later the new pods, must answer: lines `METHOD "
        "PATH [@FILE, NAME=@FILE or JSON] [=> STATUS] [contains TEXT]`. The first is asked again "
        "until `start-timeout`."
    )
    integration_tests: str = _text(
        "Path for pytest, or a command, that is run beside the app with its address in "
        "`MODEL_API_URL`."
    )
    test_requirements: str = _text(
        "Requirements file that the integration tests and the smoke tests need."
    )
    test_target: str = _text(
        "Stage of the Dockerfile whose container runs the integration tests instead."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterInputs:
    """The cluster"""

    manifests: str = _lines("Kubernetes manifests to apply: files, folders and globs, one a line.")
    namespace: str = _text("Namespace to deploy to.", otherwise="the kubeconfig context's")
    kube_context: str = _text("Context of the kubeconfig.", otherwise="its current one")
    kubeconfig: Secret = _secret("Path of a kubeconfig, or its content.")
    release: str = _text(
        "Name of this app's history in the namespace.", otherwise="last segment of `repository`"
    )
    images: str = _lines(
        "Images of containers beyond those found by name, lines `CONTAINER=IMAGE`; "
        "`registry/repository` without tag or digest means the built image."
    )
    variables: str = _lines(
        "Lines `NAME=VALUE` that replace `$NAME`, `${NAME}` and `$(NAME)` in the manifests, "
        "beside the built-in `IMAGE`, `IMAGE_DIGEST`, `ACR_DNS`, `Build.BuildId` and "
        "`MODEL_VERSION`."
    )
    deploy_by: str = _text("Whether pods name the image by `digest` or by `tag`.", "digest")
    timeout: str = _text("How long the rollout may take.", "10m")
    rollback: str = _boolean("Return to what was there before when the rollout fails.", "true")
    rollback_timeout: str = _text("How long that return may take.", "5m")
    allow_older: str = _boolean("Deploy although a newer run has deployed.")
    smoke_tests: str = _text(
        "Path for pytest, or a command, that is run against the new pods only, with their address "
        "in `MODEL_API_URL`."
    )
    check_url: str = _boolean(
        "After the rollout, ask the checks once more through the output `url`, as a user's request "
        "goes."
    )
    imagepullsecrets: str = _lines("Pull secrets that are added to every pod, one a line.")
    force: str = _boolean("Take fields that another manager owns.")
    to: str = _text(
        "Release number or digest that `rollback` returns to.",
        otherwise="the release before the current one",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudInputs:
    """Where"""

    azure_environment: str = _text(
        "Azure cloud: `azurecloud`, `azureusgovernment`, `azurechinacloud` or `custom`.",
        "azurecloud",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    what: WhatToDo = field(default_factory=WhatToDo)
    model: ModelInputs = field(default_factory=ModelInputs)
    image: ImageInputs = field(default_factory=ImageInputs)
    tests: AppTestInputs = field(default_factory=AppTestInputs)
    cluster: ClusterInputs = field(default_factory=ClusterInputs)
    cloud: CloudInputs = field(default_factory=CloudInputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One row of the table."""

    name: str  # kebab-case, one name in every way in
    group: str  # field of Inputs
    title: str  # of the group, for people
    attribute: str
    kind: Kind
    secret: bool
    default: str
    otherwise: str  # what happens by default, where that is not one value
    meaning: str  # one sentence


def _table() -> Iterable[Input]:
    for group in fields(Inputs):
        row = cast("Any", group.default_factory)
        for item in fields(row):
            yield Input(
                name=item.name.replace("_", "-"),
                group=group.name,
                title=str(row.__doc__),
                attribute=item.name,
                kind=item.metadata["kind"],
                secret=isinstance(item.default, Secret),
                default="" if isinstance(item.default, Secret) else str(item.default),
                otherwise=item.metadata["otherwise"],
                meaning=item.metadata["meaning"],
            )


INPUTS = tuple(_table())
NAMES = frozenset(item.name for item in INPUTS)


def from_values(values: Mapping[str, str]) -> Inputs:
    """`values` by input name; blank means not given. Unknown names are the caller's business."""
    groups: dict[str, dict[str, Any]] = {item.group: {} for item in INPUTS}
    for item in INPUTS:
        text = values.get(item.name, "")
        if text.strip():
            # Lines keep their blank neighbours, so that line numbers are those of the user's file.
            kept = text if item.kind == "lines" else text.strip()
            groups[item.group][item.attribute] = Secret(kept) if item.secret else kept
    made: dict[str, Any] = {
        group.name: cast("Any", group.default_factory)(**groups[group.name])
        for group in fields(Inputs)
    }
    return Inputs(**made)


def read_environment(environ: Mapping[str, str]) -> tuple[Inputs, tuple[str, ...]]:
    """The inputs, and a warning for each INPUT_ variable that is none (a workflow's `env` and
    a misspelt `with` look the same from here)."""
    values, warnings = environment_values(environ)
    return from_values(values), warnings


def environment_values(environ: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """GitHub keeps the hyphens of a name (INPUT_DRY-RUN). Shells cannot, so INPUT_DRY_RUN counts
    as well; two different values for one input are refused."""
    values: dict[str, str] = {}
    warnings: list[str] = []
    faults: list[Fault] = []
    for variable in sorted(name for name in environ if name.upper().startswith("INPUT_")):
        name = variable[len("INPUT_") :].lower().replace("_", "-")
        if name not in NAMES:
            warnings.append(f"{variable} is no input and is ignored{suggest(name, NAMES)}")
        elif (text := environ[variable]).strip() and values.setdefault(name, text) != text:
            twice = f"is set twice and differently, as {environment_name(name)} and with hyphens"
            faults.append(Fault(name=name, given=None, allowed=f"{twice}: keep one"))
    if faults:
        raise InputError(*faults)
    return values, tuple(warnings)


def environment_name(name: str) -> str:
    return "INPUT_" + name.upper().replace("-", "_")


def suggest(word: str, words: Iterable[str]) -> str:
    """`, did you mean X?` for the nearest of `words`; empty when none is near."""
    near = difflib.get_close_matches(word, sorted(words), n=1)
    return f", did you mean {near[0]}?" if near else ""
