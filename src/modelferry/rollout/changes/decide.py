"""What an apply will do to each object, decided from what the cluster has and from its answer to
a dry run. Pure; apply.py carries it out."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from modelferry.cluster.transport import Refused
from modelferry.rollout.changes import marks
from modelferry.rollout.changes.placed import Placed, with_body
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.objects import podspec
from modelferry.rollout.objects.conditions import is_true
from modelferry.rollout.objects.field_managers import (
    HPA_CONTROLLER,
    conflicts,
    is_scaled,
    lost_with,
)
from modelferry.rollout.objects.fields import without

log = logging.getLogger("modelferry.rollout")

Object = Mapping[str, Any]

# Made anew where they cannot be changed in place, if nothing is lost with the old one that the new
# one has not. A Deployment would be down meanwhile, a StatefulSet or a claim lose data.
_RBAC = "rbac.authorization.k8s.io"
_REPLACEABLE = (
    ("", "Pod"),
    ("batch", "Job"),
    ("", "ConfigMap"),
    ("", "Secret"),
    (_RBAC, "RoleBinding"),
    (_RBAC, "ClusterRoleBinding"),
)
_RUN_ONCE = (("", "Pod"), ("batch", "Job"))
_BOOKKEEPING = ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid")


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    UNCHANGED = "leave"
    REPLACE = "replace"
    UNCHECKED = "apply (not yet checkable)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    placed: Placed
    action: Action
    live: Object | None
    result: Object | None = None  # what a dry run of the apply gave; None: there was none
    force: bool = False  # take the fields that a manager who yields still owns
    why: str = ""

    def __str__(self) -> str:
        return f"{self.action} {self.placed.label}" + (f": {self.why}" if self.why else "")


def plain(manifest: ManifestObject) -> ManifestObject:
    """A Secret's `stringData` as `data`: the API server keeps only that, and server-side apply
    would neither remove a key that has left the manifest nor know afterwards whose it was."""
    body = manifest.body
    given = body.get("stringData")
    if (manifest.api_version, manifest.kind) != ("v1", "Secret") or not isinstance(given, Mapping):
        return manifest
    if not all(isinstance(value, str) for value in given.values()):
        return manifest  # the API server says what is wrong
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in given.items()}
    rest = {key: value for key, value in body.items() if key != "stringData"}
    return manifest.changed({**rest, "data": {**(body.get("data") or {}), **encoded}})


def decided(placed: Placed, live: Object | None, result: Object, *, force: bool) -> Change:
    """`result` is what the dry run of the apply gave."""
    change = Change(placed=placed, action=Action.UPDATE, live=live, result=result, force=force)
    if live is None:
        return replace(change, action=Action.CREATE)
    if why := _must_replace(live, result):
        return replace(change, action=Action.REPLACE, why=why)
    if essence(live) == essence(result):
        return replace(change, action=Action.UNCHANGED)
    return change


def settled(
    placed: Placed, live: Object, refused: Refused, *, is_autoscaled: bool
) -> tuple[Placed, bool]:
    """After a conflict: without the replicas that an autoscaler minds, and whether to take what
    the tools before us had. Raises `refused` where others own the fields.

    `is_autoscaled`: a HorizontalPodAutoscaler targets it, as far as we may know. What one has set
    that does so no longer is taken, too.
    """
    found = conflicts(refused)
    scaled = [conflict for conflict in found if is_scaled(conflict, live) and not conflict.yields]
    if any(conflict not in scaled and not conflict.yields for conflict in found):
        raise refused
    minded = [each for each in scaled if is_autoscaled or each.manager != HPA_CONTROLLER]
    if minded:
        log.info("%s: replicas are left to %s", placed.label, minded[0].manager)
        placed = with_body(placed, without(placed.body, ("spec", "replicas")))
    elif scaled:
        log.info("%s: the autoscaler that has set its replicas is gone", placed.label)
    return placed, len(minded) < len(found)


def lost_by_replacing(placed: Placed, live: Object) -> tuple[str, ...]:
    """What is not ours in it. What ran in a Pod or a Job is over with the old one anyway."""
    if (placed.resource.group, placed.resource.kind) in _RUN_ONCE:
        return ()
    return lost_with(live, placed.body)


def left_to_its_release(change: Change) -> Change:
    """An object that two releases bring, and that is as both want it, stays the first one's."""
    theirs = marks.other_release_of(change.live, change.placed.body)
    if not theirs or change.action is not Action.UNCHANGED:
        return change
    body = marks.left_to(change.placed.body, theirs)
    return replace(change, placed=with_body(change.placed, body))


def is_replaceable(placed: Placed) -> bool:
    return (placed.resource.group, placed.resource.kind) in _REPLACEABLE


def _must_replace(live: Object, result: Object) -> str:
    group = str(live["apiVersion"]).rpartition("/")[0]
    if (group, live["kind"]) not in _RUN_ONCE:
        return ""
    if _has_failed(live):
        return "it has failed before"
    if live["kind"] == "Pod" and podspec.images(live) != podspec.images(result):
        return "its image changes"  # in place, the old container would look ready for a while
    if live["kind"] == "Pod" and marks.another_digest(live, result):
        return "its tag means another image now"
    return ""


def _has_failed(live: Object) -> bool:
    return is_true(live, "Failed") or live.get("status", {}).get("phase") == "Failed"


def essence(body: Object) -> Object:
    """Without the server's bookkeeping, status and our own marks."""
    metadata = {name: value for name, value in body["metadata"].items() if name not in _BOOKKEEPING}
    annotations = {
        name: value
        for name, value in (metadata.get("annotations") or {}).items()
        if not name.startswith(marks.OURS)
    }
    metadata["annotations"] = annotations
    return {k: v for k, v in body.items() if k not in ("metadata", "status")} | {
        "metadata": metadata
    }
