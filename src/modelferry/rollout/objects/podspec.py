"""Where the pod template and its containers stand in each kind that runs pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelferry.rollout.objects.fields import Object, Path, mapping_at, mappings, with_value

_TEMPLATE: Path = ("spec", "template", "spec")
_POD_SPEC: dict[tuple[str, str], Path] = {
    ("", "Pod"): ("spec",),
    ("", "PodTemplate"): ("template", "spec"),
    ("", "ReplicationController"): _TEMPLATE,
    ("apps", "Deployment"): _TEMPLATE,
    ("apps", "StatefulSet"): _TEMPLATE,
    ("apps", "DaemonSet"): _TEMPLATE,
    ("apps", "ReplicaSet"): _TEMPLATE,
    ("batch", "Job"): _TEMPLATE,
    ("batch", "CronJob"): ("spec", "jobTemplate", *_TEMPLATE),
}
_LISTS = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    path: Path  # of the container in its object
    name: str
    image: str | None
    body: Object

    @property
    def image_path(self) -> str:
        """`spec.template.spec.containers[score].image`, for people."""
        *parents, kind, _ = self.path
        return f"{'.'.join(map(str, parents))}.{kind}[{self.name}].image"


def spec_path(body: Object) -> Path | None:
    """None: objects of this kind run no pods."""
    group = str(body["apiVersion"]).rpartition("/")[0]
    return _POD_SPEC.get((group, str(body["kind"])))


def pod_spec(body: Object) -> Object:
    """Empty where the kind runs no pods or the object has no spec."""
    path = spec_path(body)
    return mapping_at(body, path) if path else {}


def pod_labels(body: Object) -> Object:
    """Of the pods that it makes; what a Service's selector is held against."""
    path = spec_path(body)
    return mapping_at(body, (*path[:-1], "metadata", "labels")) if path else {}


def containers(body: Object) -> Iterator[Container]:
    """Init containers first, as they run."""
    path = spec_path(body)
    spec = pod_spec(body)
    if path is None:
        return
    for kind in _LISTS:
        yield from _listed(spec.get(kind), (*path, kind))


def templates(body: Object) -> Iterator[Container]:
    """The containers, also of kinds that we do not know: wherever one keeps such a list (Argo
    Rollout, KEDA ScaledJob, KServe InferenceService), its images are the users' to replace."""
    if spec_path(body) is not None:
        yield from containers(body)
    elif body["kind"] != "CustomResourceDefinition":
        yield from _anywhere(body, ())


def _anywhere(value: Any, path: Path) -> Iterator[Container]:
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _anywhere(inner, (*path, index))
    if not isinstance(value, Mapping):
        return
    for key, inner in value.items():
        if key in _LISTS and isinstance(inner, list):
            yield from _listed(inner, (*path, key))
        else:
            yield from _anywhere(inner, (*path, key))


def _listed(entries: Any, path: Path) -> Iterator[Container]:
    for index, entry in mappings(entries):
        image = entry.get("image")
        yield Container(
            path=(*path, index),
            name=str(entry.get("name", index)),
            image=image if isinstance(image, str) else None,
            body=entry,
        )


def images(body: Object) -> dict[str, str | None]:
    return {container.name: container.image for container in containers(body)}


def with_pull_secrets(body: Object, names: tuple[str, ...]) -> Object:
    path = spec_path(body)
    if path is None or not names or not pod_spec(body):
        return body
    given = [secret for _, secret in mappings(pod_spec(body).get("imagePullSecrets"))]
    known = {secret.get("name") for secret in given}
    more = [{"name": name} for name in names if name not in known]
    return with_value(body, (*path, "imagePullSecrets"), given + more)


def with_old_account_name(body: Object) -> Object:
    """`serviceAccount` says the same as `serviceAccountName`, and the API server fills it in: as
    nobody's field it would stay, and bring back a name that has left the manifest."""
    path, account = spec_path(body), pod_spec(body).get("serviceAccountName")
    if path is None or not account or "serviceAccount" in pod_spec(body):
        return body
    return with_value(body, (*path, "serviceAccount"), account)
