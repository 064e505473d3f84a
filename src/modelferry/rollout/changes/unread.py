"""Settings that change while the pods that read them stay as they are: Kubernetes restarts nothing
for a ConfigMap or a Secret, so what they say is not what runs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modelferry.rollout.changes.decide import Action, Change, essence
from modelferry.rollout.objects import podspec
from modelferry.rollout.objects.fields import Object, at, mapping_at, mappings

_SETTINGS = ("ConfigMap", "Secret")
_HELD = ("data", "binaryData", "stringData")
# The pods of others come and go by themselves, and read what there is then.
_STAYING = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Pod")
_Name = tuple[str, str | None, str]  # kind, namespace, name


def unread(planned: Sequence[Change]) -> tuple[str, ...]:
    """A sentence for each workload of the set that goes on with settings which this set changes."""
    changed = {_name(change): change for change in planned if _has_new_content(change)}
    return tuple(
        f"{', '.join(read)} changes, and {change.placed.label} reads it but is not restarted: its"
        " pods go on with what they read at their start. Change something in its pod template as"
        " well (an annotation with a checksum, say), or restart it: kubectl rollout restart"
        for change in planned
        if _goes_on(change)
        and (
            read := [
                changed[name].placed.label
                for name in dict.fromkeys(_read(change))
                if name in changed
            ]
        )
    )


def _name(change: Change) -> _Name:
    placed = change.placed
    return placed.resource.kind, placed.namespace, placed.manifest.name


def _has_new_content(change: Change) -> bool:
    resource = change.placed.resource
    if resource.group or resource.kind not in _SETTINGS or change.live is None:
        return False
    after = change.placed.body if change.result is None else change.result
    return any((change.live.get(key) or {}) != (after.get(key) or {}) for key in _HELD)


def _goes_on(change: Change) -> bool:
    """With the pods that it has."""
    if change.placed.resource.kind not in _STAYING or change.live is None or change.result is None:
        return False
    if change.action is Action.REPLACE:
        return False
    return _template(change.live) == _template(change.result)


def _template(body: Object) -> Object:
    return essence(body) if body["kind"] == "Pod" else mapping_at(body, ("spec", "template"))


def _read(change: Change) -> Iterator[_Name]:
    namespace = change.placed.namespace
    for kind, name in _references(change.placed.body):
        yield kind, namespace, name


def _references(body: Object) -> Iterator[tuple[str, str]]:
    for container in podspec.containers(body):
        sources = [source for _, source in mappings(container.body.get("envFrom"))]
        sources += [mapping_at(v, ("valueFrom",)) for _, v in mappings(container.body.get("env"))]
        for source in sources:
            yield from _named(source, "configMapRef", "secretRef", "name")
            yield from _named(source, "configMapKeyRef", "secretKeyRef", "name")
    for _, volume in mappings(podspec.pod_spec(body).get("volumes")):
        yield from _named(volume, "configMap", "secret", "name")
        yield from _named(volume, "configMap", "secret", "secretName")
        for _, source in mappings(at(volume, ("projected", "sources"))):
            yield from _named(source, "configMap", "secret", "name")


def _named(source: Object, config_map: str, secret: str, key: str) -> Iterator[tuple[str, str]]:
    for kind, field in zip(_SETTINGS, (config_map, secret), strict=True):
        if name := at(source, (field, key)):
            yield kind, str(name)
