"""Whatever shape a manifest has, it is read, or refused by name: never an exception of ours."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelferry.errors import InputError
from modelferry.rollout.manifests.images import substitute
from modelferry.rollout.manifests.load import load
from modelferry.rollout.objects import podspec
from modelferry.rollout.reach import pod_checks, url
from modelferry.rollout.spec import ImageRule
from modelferry.values import Digest, ImageRef

BUILT = ImageRef(registry="reg.io", repository="score").pinned(Digest("sha256:" + "a" * 64))
KEYS = (
    *("metadata", "name", "namespace", "labels", "annotations", "spec", "template", "selector"),
    *("containers", "initContainers", "image", "env", "value", "args", "ports", "containerPort"),
    *("imagePullSecrets", "jobTemplate", "items", "data", "rules", "http", "paths", "backend"),
)
KINDS = (
    *(("v1", "Pod"), ("apps/v1", "Deployment"), ("batch/v1", "CronJob"), ("v1", "Service")),
    *(("v1", "ConfigMap"), ("networking.k8s.io/v1", "Ingress"), ("x/v1", "Served")),
    *(("v1", "List"), ("v1", "PodList"), (None, None), (1, ["x"])),
)
leaves = st.sampled_from(
    [None, True, 0, 1.5, "", "a", "reg.io/score:1", "$IMAGE", "<x>", "${", "{{", "1"]
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=25,
)
bodies = st.tuples(
    st.sampled_from(KINDS), st.dictionaries(st.sampled_from(KEYS), values, max_size=4)
)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(bodies, min_size=1, max_size=3))
def test_any_shape(tmp_path: Path, found: list[tuple[Any, dict[str, Any]]]) -> None:
    documents = []
    for number, ((version, kind), body) in enumerate(found):
        metadata = body.get("metadata")
        named = {**metadata, "name": f"n{number}"} if isinstance(metadata, dict) else {"name": "n"}
        documents.append({**body, "apiVersion": version, "kind": kind, "metadata": named})
    (tmp_path / "a.yaml").write_text("\n---\n".join(map(json.dumps, documents)))
    rules = (ImageRule(container="0", image=None),)
    with suppress(InputError):
        objects = load(["a.yaml"], tmp_path, variables={"IMAGE": str(BUILT)})
        url.may_have(objects)
        for some in ((), rules):
            with suppress(InputError):
                _use(objects, some)


def _use(objects: Any, rules: Any) -> None:
    for entry in objects:
        podspec.with_pull_secrets(entry.body, ("s",))
    replaced, table = substitute(objects, BUILT, rules)
    list(map(str, table))
    pod_checks.ports(replaced, str(BUILT), None)
