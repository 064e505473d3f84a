"""Services of the set that lead nowhere: no pod has the labels that they select."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import PODS
from modelferry.errors import FerryError
from modelferry.rollout.objects.fields import Object, at, mapping_at
from modelferry.rollout.objects.podspec import pod_labels
from modelferry.rollout.watching.findings import Applied

log = logging.getLogger("modelferry.rollout")


def without_pods(cluster: Cluster, applied: Sequence[Applied]) -> tuple[str, ...]:
    """A sentence for each of them; ask when the rollout is ready."""
    return tuple(
        f"{service.placed.manifest.file}:{service.placed.manifest.line_of('spec', 'selector')}:"
        f" {service.label} selects {_query(service)}, which no pod in namespace"
        f" {service.namespace} has: nobody answers behind it"
        for service in in_doubt(applied)
        if not _has_pod(cluster, service)
    )


def in_doubt(applied: Sequence[Applied]) -> tuple[Applied, ...]:
    """Services that select none of the pods that this set makes: they may be for those of others.
    A workload that is scaled to zero has none on purpose. Pure."""
    made = [(entry.namespace, pod_labels(entry.body)) for entry in applied if entry.runs_pods]
    return tuple(
        entry
        for entry in applied
        if (selector := _selector(entry))
        and not any(
            entry.namespace == namespace and selector.items() <= labels.items()
            for namespace, labels in made
        )
    )


def _selector(entry: Applied) -> Object:
    """Empty: what leads to pods, if it does, is somebody else's."""
    is_service = (entry.resource.group, entry.resource.kind) == ("", "Service")
    if not is_service or at(entry.body, ("spec", "type")) == "ExternalName":
        return {}
    return mapping_at(entry.body, ("spec", "selector"))


def _query(service: Applied) -> str:
    return ",".join(f"{name}={value}" for name, value in _selector(service).items())


def _has_pod(cluster: Cluster, service: Applied) -> bool:
    """True also where nobody can tell: a rollout that is ready does not fail for this."""
    chosen = (("labelSelector", _query(service)), ("limit", "1"))
    try:
        return bool(cluster.list(PODS, service.namespace, selectors=chosen, tries=2)[0])
    except FerryError as error:
        log.info("whether %s leads to a pod cannot be seen: %s", service.label, error.what)
        return True
