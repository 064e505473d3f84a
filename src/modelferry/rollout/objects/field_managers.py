"""Who owns which field of an object (server-side apply), and whose fields we may take. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelferry.cluster.client import FIELD_MANAGER
from modelferry.cluster.transport import Refused
from modelferry.rollout.objects import owned_fields
from modelferry.rollout.objects.fields import Path, at, with_value

Object = Mapping[str, Any]

# Tools by which this same manifest may have been applied before.
_YIELDING = re.compile(r"kubectl(-.*)?|before-first-apply|k8s-deploy")
# Of these we take over all fields, so that one which left the manifest leaves the object, too.
_TAKEN_OVER = {
    ("kubectl-client-side-apply", "Update"),
    ("before-first-apply", "Update"),
    ("kubectl", "Apply"),
    ("k8s-deploy", "Apply"),
}
_CONFLICT = re.compile(r'conflict with "(?P<manager>[^"]*)"')
_SCALED = ".spec.replicas"
HPA_CONTROLLER = "kube-controller-manager"  # scales for all HorizontalPodAutoscalers
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Conflict:
    manager: str
    field: str

    @property
    def yields(self) -> bool:
        return is_yielding(self.manager)

    def __str__(self) -> str:
        return f"{self.field} is owned by {self.manager}"


def is_yielding(manager: str) -> bool:
    return bool(_YIELDING.fullmatch(manager))


def conflicts(refused: Refused) -> tuple[Conflict, ...]:
    """Empty when the refusal is another one."""
    return tuple(
        Conflict(match["manager"], cause.field)
        for cause in refused.causes
        if cause.reason == "FieldManagerConflict" and (match := _CONFLICT.search(cause.message))
    )


def is_scaled(conflict: Conflict, live: Object) -> bool:
    """An autoscaler owns the count: it writes through the `scale` subresource."""
    return conflict.field == _SCALED and any(
        entry["manager"] == conflict.manager and entry.get("subresource") == "scale"
        for entry in live["metadata"].get("managedFields") or ()
    )


def taken_over(
    managed: Sequence[Object], api_version: str, also: Path | None = None
) -> list[Object] | None:
    """`managed` with the fields of the tools before us moved to our own entry, and with what is
    `also` to be ours; None: nothing to move. As kubectl does for itself when it turns to
    server-side apply."""
    moved = [entry for entry in managed if _is_taken_over(entry, api_version)]
    if not moved and also is None:
        return None
    ours = [entry for entry in managed if _is_ours(entry, api_version)]
    rest = [entry for entry in managed if entry not in moved and entry not in ours]
    fields = owned_fields.of_body(with_value({}, also, None)) if also else {}
    for entry in (*ours, *moved):
        fields = owned_fields.union(fields, entry.get("fieldsV1") or {})
    base = next(iter((*ours, *moved)), {"apiVersion": api_version, "fieldsType": "FieldsV1"})
    union = {**base, "manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields}
    return [union, *rest]


def ours(live: Object) -> owned_fields.Fields:
    """What we manage of it, or take over from the tools before us."""
    metadata = live["metadata"]
    adopted = taken_over(metadata.get("managedFields") or (), live["apiVersion"])
    holder = {**live, "metadata": {**metadata, **({"managedFields": adopted} if adopted else {})}}
    return owned_fields.of_manager(holder, FIELD_MANAGER)


def kept_by_others(live: Object, path: Path) -> bool:
    """Of a field that leaves our manifest: it, or a part of it, stays."""
    steps = tuple(f"f:{step}" for step in path)
    return any(
        at(entry.get("fieldsV1"), steps) is not None
        for entry in live["metadata"].get("managedFields") or ()
        if not _is_ours(entry, live["apiVersion"]) and not _is_taken_over(entry, live["apiVersion"])
    )


def is_made_by_us(body: Object) -> bool:
    """By an apply of ours, not before it: nobody else has ever written to it."""
    applied = owned_fields.of_manager(body, FIELD_MANAGER)
    return bool(applied) and not owned_fields.strangers(body, FIELD_MANAGER)


def lost_with(live: Object, coming: Object) -> tuple[str, ...]:
    """What others have put into an object, and one made anew from `coming` would not have."""
    metadata = live["metadata"]
    known = owned_fields.union(ours(live), owned_fields.of_body(coming))
    found = [
        f"{entry.get('manager')} owns {', '.join(paths)}"
        for entry in metadata.get("managedFields") or ()
        if not entry.get("subresource")
        and (paths := _paths(owned_fields.minus(entry.get("fieldsV1") or {}, known)))
    ]
    owners = [f"{owner['kind']} {owner['name']}" for owner in metadata.get("ownerReferences") or ()]
    holders = metadata.get("finalizers") or ()
    return (
        *found,
        *(f"it belongs to {owner}" for owner in owners),
        *(f"its finalizer {name} waits for somebody" for name in holders),
    )


def _paths(fields: owned_fields.Fields) -> list[str]:
    return [path for path in owned_fields.paths(fields) if not path.endswith(LAST_APPLIED)]


def _is_taken_over(entry: Object, api_version: str) -> bool:
    return (
        (entry.get("manager"), entry.get("operation")) in _TAKEN_OVER
        and not entry.get("subresource")
        and entry.get("apiVersion") == api_version
    )


def _is_ours(entry: Object, api_version: str) -> bool:
    return (
        entry.get("manager") == FIELD_MANAGER
        and entry.get("operation") == "Apply"
        and entry.get("apiVersion") == api_version
    )
