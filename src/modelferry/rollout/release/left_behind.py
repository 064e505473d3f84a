"""What the release before had and the manifests no longer have: nothing deletes it, so it goes on
with the image that it has. Pure but for the asking."""

from __future__ import annotations

import re
from collections.abc import Sequence

from modelferry.cluster.client import Cluster
from modelferry.cluster.transport import Refused
from modelferry.rollout.changes.decide import Change
from modelferry.rollout.changes.marks import OURS, other_release, said
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.release.history import Record
from modelferry.values import format_names

_RUN_ONCE = (("", "Pod"), ("batch", "Job"))  # many have a name of their own in each release
_SETTINGS = (("", "ConfigMap"), ("", "Secret"))
_HASHED = re.compile(r"-[2456789bcdfghkmt]{10}$")  # as kustomize ends the names of generated ones


def left_behind(
    cluster: Cluster, last: Record | None, planned: Sequence[Change], release: str
) -> tuple[str, ...]:
    """A sentence for each namespace. `last`: what the cluster has on purpose; `release`: our
    release_mark."""
    if last is None:
        return ()
    gone = dropped(last.manifests, [change.placed for change in planned])
    return sentences([one for one in gone if _is_there(cluster, one, release)], last.number)


def dropped(had: Sequence[Placed], now: Sequence[Placed]) -> tuple[Placed, ...]:
    """But what each release makes anew under another name."""
    kept = {placed.key for placed in now}
    return tuple(one for one in had if one.key not in kept and not _is_of_one_release(one))


def sentences(gone: Sequence[Placed], number: int) -> tuple[str, ...]:
    found: dict[str | None, list[Placed]] = {}
    for placed in gone:
        found.setdefault(placed.namespace, []).append(placed)
    return tuple(_sentence(namespace, group, number) for namespace, group in found.items())


def _sentence(namespace: str | None, group: Sequence[Placed], number: int) -> str:
    labels = format_names([placed.label for placed in group])
    delete = f"kubectl --namespace {namespace} delete" if namespace else "kubectl delete"
    if len(group) == 1:
        # two groups may have a kind of this name, and only one of the two objects is meant
        name = f"{group[0].resource.name}/{group[0].manifest.name}"
        then = f"it stays as it is; {delete} {name} removes it"
    else:
        then = f"they stay as they are; {delete} KIND NAME removes one"
    return f"release {number} had {labels}, which the manifests no longer have: {then}"


def _is_of_one_release(placed: Placed) -> bool:
    kind = (placed.resource.group, placed.resource.kind)
    return kind in _RUN_ONCE or (
        kind in _SETTINGS and _HASHED.search(placed.manifest.name) is not None
    )


def _is_there(cluster: Cluster, placed: Placed, release: str) -> bool:
    """Still, and still of this release. What we may not look at is not spoken of."""
    try:
        live = cluster.get(placed.resource, placed.manifest.name, placed.namespace)
    except Refused as refused:
        if refused.code != 403:
            raise
        return False
    return OURS + "release" in said(live or {}) and not other_release(live, release)
