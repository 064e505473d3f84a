"""The Secret in which a release's history stands: read, and written so that no run's record gets
lost, also where no Lease keeps two runs apart."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import SECRETS
from modelferry.cluster.transport import Refused
from modelferry.rollout import apply
from modelferry.rollout.changes.marks import OURS
from modelferry.rollout.release import history
from modelferry.rollout.release.history import Record

Object = Mapping[str, Any]

_PATIENCE_S = 60.0  # a verdict that is not on record misleads the next run
_RACES = 5


class Book:
    def __init__(self, cluster: Cluster, release: str, namespace: str) -> None:
        self._cluster, self._release, self._namespace = cluster, release, namespace
        self._secret: Object | None = None  # as it was read or written last

    def read(self) -> tuple[Record, ...]:
        """Newest first."""
        name = history.secret_name(self._release)
        self._secret = self._cluster.get(SECRETS, name, self._namespace)
        return self._records

    @property
    def _records(self) -> tuple[Record, ...]:
        return history.of_secret(self._secret) if self._secret else ()

    def write(self, own: Record) -> Record:
        """`own` as it stands there now: under another number, where another run has taken its."""
        cluster = self._cluster.on(until=time.monotonic() + _PATIENCE_S)
        for race in range(1, _RACES + 1):
            newest, *others = history.merged(own, self._records)
            body = history.to_secret(self._release, (newest, *map(_closed, others)))
            try:
                self._secret = self._put(cluster, body)
            except Refused as refused:
                if refused.code not in (404, 409, 422) or race == _RACES:
                    raise
                self.read()  # another has made, changed or removed it
            else:
                # renumbered, it is the newest
                return next((one for one in others if history.is_same(one, own)), newest)
        raise AssertionError("unreachable: the last race is won or raises")

    def _put(self, cluster: Cluster, body: Object) -> Object:
        if self._secret is None:
            return apply.make(cluster, SECRETS, body, self._namespace)
        metadata = self._secret["metadata"]
        others = {
            name: value
            for name, value in (metadata.get("annotations") or {}).items()
            if not name.startswith(OURS)
        }
        annotations = others | body["metadata"]["annotations"]
        version = metadata["resourceVersion"]
        operations = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/metadata/annotations", "value": annotations},
            {"op": "add", "path": "/data", "value": body["data"]},
        ]
        return apply.amend(cluster, SECRETS, metadata["name"], self._namespace, operations)


def _closed(record: Record) -> Record:
    """The newest knows all that is not settled yet."""
    verdict = history.INTERRUPTED if record.verdict == history.PENDING else record.verdict
    return replace(record, verdict=verdict, before=())
