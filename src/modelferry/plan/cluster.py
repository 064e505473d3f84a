"""The `cluster` group of inputs → ClusterAccess and DeploySpec."""

from __future__ import annotations

import base64
import re

from modelferry.apptest.spec import AppTests
from modelferry.inputs import ClusterInputs
from modelferry.plan.parsing import (
    Faults,
    boolean,
    dns_label,
    dns_name,
    duration,
    each,
    numbered,
    one_line,
    one_of,
    pairs,
)
from modelferry.rollout.spec import ClusterAccess, DeploySpec, ImageRule, RollbackSpec
from modelferry.values import ImageRef, Secret

BUILT_IN_VARIABLES = ("IMAGE", "IMAGE_DIGEST", "ACR_DNS", "Build.BuildId", "MODEL_VERSION")


LONGEST_PATH = 255


def kubeconfig_text(given: str) -> str:
    """The path or the content. Content often comes as base64: it survives every kind of quoting."""
    text = given.strip()
    if not re.fullmatch(r"[A-Za-z0-9+/\s]{64,}={0,2}", text):
        return text
    try:
        decoded = base64.b64decode("".join(text.split()), validate=True).decode()
    except ValueError:
        return text
    return decoded if "clusters" in decoded else text


def is_path(kubeconfig: str) -> bool:
    """A path is one line; anything else is the content itself."""
    return "\n" not in kubeconfig and not kubeconfig.startswith("{")


def cluster_access(kubeconfig: str, context: str | None = None) -> ClusterAccess:
    """`kubeconfig` as a user gives it: nothing, a path, or the content in any form."""
    text = kubeconfig_text(kubeconfig)
    if not text or is_path(text):
        return ClusterAccess(path=text or None, context=context)
    return ClusterAccess(content=Secret(text), context=context)


def plan_cluster(inputs: ClusterInputs, faults: Faults) -> ClusterAccess:
    context = faults.read("kube-context", inputs.kube_context, one_line, "") or None
    access = cluster_access(inputs.kubeconfig.reveal(), context)
    if access.path and len(access.path) > LONGEST_PATH:
        faults.add("kubeconfig", None, "is one long line: neither a path nor a content")
    return access


def plan_deploy(
    inputs: ClusterInputs, tests: AppTests, built: ImageRef | None, faults: Faults
) -> DeploySpec:
    """`built` is the name of the image that is deployed, as far as it is known."""
    default_release = release_name(built.repository) if built else ""
    deploy_by = faults.read("deploy-by", inputs.deploy_by, one_of(("digest", "tag")), "digest")
    return DeploySpec(
        manifests=each("manifests", inputs.manifests, one_line, faults),
        namespace=faults.read("namespace", inputs.namespace, dns_label, "") or None,
        release=faults.read("release", inputs.release, dns_label, default_release),
        images=_images(inputs.images, built, faults),
        variables=_variables(inputs.variables, faults),
        deploy_by="tag" if deploy_by == "tag" else "digest",
        timeout_s=faults.read("timeout", inputs.timeout, duration, 600.0),
        image_pull_secrets=each("imagepullsecrets", inputs.imagepullsecrets, dns_name, faults),
        force=faults.read("force", inputs.force, boolean, False),
        checks=tests.checks,
        port=tests.port,
        start_timeout_s=tests.start_timeout_s,
        rollback=faults.read("rollback", inputs.rollback, boolean, True),
        rollback_timeout_s=faults.read(
            "rollback-timeout", inputs.rollback_timeout, duration, 300.0
        ),
        allow_older=faults.read("allow-older", inputs.allow_older, boolean, False),
        smoke_tests=inputs.smoke_tests or None,
        test_requirements=tests.test_requirements,
        check_url=_check_url(inputs, tests, faults),
    )


def plan_rollback(inputs: ClusterInputs, deploy: DeploySpec, faults: Faults) -> RollbackSpec:
    return RollbackSpec(
        release=deploy.release,
        namespace=deploy.namespace,
        to=faults.read("to", inputs.to, _release_or_digest, "") or None,
        timeout_s=deploy.timeout_s,
    )


def _check_url(inputs: ClusterInputs, tests: AppTests, faults: Faults) -> bool:
    wanted = faults.read("check-url", inputs.check_url, boolean, False)
    if wanted and not tests.checks:
        faults.add("check-url", inputs.check_url, "needs checks to ask")
    return wanted


def _release_or_digest(text: str) -> str:
    if re.fullmatch(r"[1-9][0-9]*|sha256:[0-9a-f]{12,64}", text):
        return text
    raise ValueError(
        "must be a release's number or digest (12 digits of it are enough), as `modelferry history`"
        " shows them"
    )


def release_name(repository: str) -> str:
    """The last segment as a Kubernetes label; empty when nothing of it can stay."""
    name = re.sub(r"[^a-z0-9-]", "-", repository.rpartition("/")[2])
    return name[:63].strip("-")


def _images(text: str, built: ImageRef | None, faults: Faults) -> tuple[ImageRule, ...]:
    rules: list[ImageRule] = []
    for number, line in numbered(text):
        container, equals, reference = (part.strip() for part in line.partition("="))
        name = f"images line {number}"
        if not equals or not reference:
            faults.add(name, line, "must be CONTAINER=IMAGE")
            continue
        if any(rule.container == container for rule in rules):
            faults.add(name, line, f"names container {container} again")
        faults.read(name, container, dns_label, "")
        image = faults.read(name, reference, ImageRef.parse, None)
        unpinned = image is not None and not image.tag and not image.digest
        is_built = unpinned and built is not None and image is not None and image.name == built.name
        rules.append(ImageRule(container=container, image=None if is_built else image))
    return tuple(rules)


def _variables(text: str, faults: Faults) -> tuple[tuple[str, str], ...]:
    found = pairs("variables", text, faults, key=r"[A-Za-z_][A-Za-z0-9_.]*", shown=False)
    for name, _ in found:
        if name in BUILT_IN_VARIABLES:
            faults.add("variables", None, f"{name} is set by Modelferry: choose another name")
    return found
