"""The `image` group of inputs → BuildSpec and PushPlan."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from modelferry.image.spec import BuildSpec, RegistryLogin
from modelferry.inputs import ImageInputs
from modelferry.plan.parsing import Faults, boolean, each, one_line, pairs, path_in, word
from modelferry.plan.spec import ManagedTags, PushPlan, RunContext
from modelferry.registry.access import RegistryAccess
from modelferry.values import ImageRef, Secret, is_registry_host, is_repository, is_tag

_MANAGED = "mf-"  # what a managed tag begins with
_LONGEST_BRANCH = 128 - len(_MANAGED) - len("-app")
BUILDER_SCHEMES = ("tcp", "unix", "docker-container", "kube-pod")


def plan_build(
    inputs: ImageInputs,
    access: RegistryAccess | None,
    context: RunContext,
    environ: Mapping[str, str],
    secrets: Collection[Secret],
    faults: Faults,
) -> BuildSpec:
    folder = faults.read("context", inputs.context, path_in(context.workspace), context.workspace)
    build_args = pairs("build-args", inputs.build_args, faults, environ=environ)
    labels = pairs("labels", inputs.labels, faults)
    _refuse_secrets("build-args", build_args, secrets, faults)
    _refuse_secrets("labels", labels, secrets, faults)
    build_secrets = pairs(
        "build-secrets", inputs.build_secrets.reveal(), faults, form="id=value", shown=False
    )
    file = faults.read("file", inputs.file, path_in(context.workspace), folder / "Dockerfile")
    return BuildSpec(
        context=folder,
        file=file,
        target=faults.read("target", inputs.target, word, "") or None,
        build_args=build_args,
        build_secrets=tuple((name, Secret(value)) for name, value in build_secrets),
        build_contexts=pairs("build-contexts", inputs.build_contexts, faults, form="name=PATH"),
        labels=labels,
        pull=faults.read("pull", inputs.pull, boolean, False),
        no_cache=faults.read("no-cache", inputs.no_cache, boolean, False),
        cache_from=each("cache-from", inputs.cache_from, one_line, faults),
        cache_to=each("cache-to", inputs.cache_to, one_line, faults),
        platform=faults.read("platform", inputs.platform, _platform, "") or None,
        builder=faults.read("builder", inputs.builder, _builder, "docker"),
        login=_login(access),
        reuse=faults.read("reuse", inputs.reuse, boolean, True),
        kept_as=f"{inputs.registry}/{inputs.repository}"
        if inputs.repository
        else f"{file}#{context.repository or folder.name}",
    )


def plan_registry(inputs: ImageInputs, faults: Faults) -> RegistryAccess | None:
    host = faults.read("registry", inputs.registry, _registry, "")
    username = faults.read("username", inputs.username, one_line, "")
    if inputs.username and not inputs.password:
        faults.add("username", inputs.username, "is given without password")
    if inputs.password and not inputs.username:
        faults.add("password", None, "is given without username")
    plain_http = faults.read("insecure-registry", inputs.insecure_registry, boolean, False)
    if not host:
        return None
    return RegistryAccess(
        host=host,
        username=username or None,
        password=inputs.password or None,
        plain_http=plain_http,
    )


def plan_push(
    inputs: ImageInputs, access: RegistryAccess | None, context: RunContext, faults: Faults
) -> PushPlan | None:
    """None where registry or repository is missing; make_plan says so if they are needed."""
    repository = faults.read("repository", inputs.repository, _repository(inputs.registry), "")
    tags = dict.fromkeys(each("tags", inputs.tags, _tag, faults))
    if access is None or not repository:
        return None
    return PushPlan(
        access=access,
        repository=repository,
        tags=tuple(tags) or default_tags(context),
        managed=managed_tags(context.branch, context.default_branch),
    )


def plan_given_image(inputs: ImageInputs, push: PushPlan | None, faults: Faults) -> ImageRef | None:
    image = faults.read("image", inputs.image, _pinned_image, None)
    if image and push and image.name != push.name.name:
        faults.add("image", inputs.image, f"is not in {push.name}, as registry and repository say")
    return image


def default_tags(context: RunContext) -> tuple[str, ...]:
    """`sha-<12>` and the branch, as far as they are known and no managed tag can be the same."""
    tags = (
        f"sha-{context.commit[:12]}" if context.commit else "",
        valid_tag(context.branch or ""),
    )
    return tuple(tag for tag in tags if is_tag(tag) and not tag.startswith(_MANAGED))


def managed_tags(branch: str | None, default_branch: str | None) -> ManagedTags | None:
    if not branch or not valid_tag(branch):
        return None
    image = _managed(branch)
    fallback = _managed(default_branch) if valid_tag(default_branch or "") else None
    if fallback == image:
        fallback = None
    return ManagedTags(
        image=image,
        app=f"{image}-app",
        fallback_image=fallback,
        fallback_app=f"{fallback}-app" if fallback else None,
    )


def _managed(branch: str | None) -> str:
    """Two branches may come out alike: that costs them speed, as they share one last release."""
    return f"{_MANAGED}{valid_tag(branch or '')[:_LONGEST_BRANCH]}"


def valid_tag(text: str) -> str:
    """`feature/new-model` → `feature-new-model`; empty when nothing is left."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text).lstrip(".-")[:128]


def _login(access: RegistryAccess | None) -> RegistryLogin | None:
    if access is None or not access.username or not access.password:
        return None
    return RegistryLogin(host=access.host, username=access.username, password=access.password)


def _refuse_secrets(
    name: str,
    given: tuple[tuple[str, str], ...],
    secrets: Collection[Secret],
    faults: Faults,
) -> None:
    hidden = {secret.reveal() for secret in secrets}
    for key, value in given:
        if value and value in hidden:
            faults.add(
                name,
                None,
                f"{key} holds a secret, and everybody who has the image could read it: "
                "use build-secrets",
            )


def _platform(text: str) -> str:
    if "," in text:
        raise ValueError("must be one platform: one run makes one image")
    if not re.fullmatch(r"[a-z0-9]+/[a-z0-9]+(?:/[a-z0-9.]+)?", text):
        raise ValueError("must be os/arch or os/arch/variant, such as linux/amd64")
    return text


def _builder(text: str) -> str:
    if text == "docker":
        return text
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in BUILDER_SCHEMES or not rest:
        allowed = ", ".join(f"{name}://…" for name in BUILDER_SCHEMES)
        raise ValueError(f"must be docker, or the address of a BuildKit: {allowed}")
    return one_line(text)


def _registry(text: str) -> str:
    host = re.sub(r"^[a-z+]+://", "", text, flags=re.IGNORECASE).rpartition("@")[2]
    host, _, path = host.partition("/")
    if host != text:
        more = f", and {path} to repository" if path.strip("/") else ""
        raise ValueError(f"must be the login server alone: write {host}{more}")
    if not is_registry_host(text):
        raise ValueError("must be a login server such as myregistry.azurecr.io, or host:port")
    return text


def _repository(registry: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if registry and text.startswith(f"{registry}/"):
            rest = text.removeprefix(f"{registry}/")
            raise ValueError(f"must not repeat the registry: write {rest}")
        name, separator, _ = text.partition(":")
        if separator or "@" in text:
            raise ValueError(f"must be the name alone: write {name}, and use tags for tags")
        if is_repository(text):
            return text
        mended = text.lower().strip("/")
        write = f": write {mended}" if is_repository(mended) else ""
        raise ValueError(f"must be lower-case words with / . _ - between them{write}")

    return parse


def _tag(text: str) -> str:
    if text.startswith(_MANAGED):
        raise ValueError(f"begins with {_MANAGED}, as only the tags that Modelferry keeps do")
    if is_tag(text):
        return text
    if "," in text:
        raise ValueError("must be one tag a line")
    if ":" in text:
        raise ValueError("must be the tag alone: registry and repository are inputs of their own")
    mended = valid_tag(text)
    write = f": write {mended}" if is_tag(mended) else ""
    raise ValueError(f"is no tag (letters, digits, _ . -, at most 128){write}")


def _pinned_image(text: str) -> ImageRef | None:
    image = ImageRef.parse(text)
    if image.digest is None:
        raise ValueError(
            f"must name a digest, as in {image.name}@sha256:…: "
            "the output `image` of the job that built it does"
        )
    return image
