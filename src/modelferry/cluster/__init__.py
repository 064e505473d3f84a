"""The one door to Kubernetes: `connect` gives a Cluster, whose verbs speak plain JSON objects."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from modelferry.cluster.access import ClusterAccess

if TYPE_CHECKING:
    from modelferry.cluster.client import Cluster


def connect(access: ClusterAccess, environ: Mapping[str, str] = os.environ) -> Cluster:
    """A cluster that answered. Raises InputError, IdentityError or RolloutError (unreachable)."""
    # imported here: the SDK takes 0.7 s, and most runs of `check` and `plan` need none of it
    from modelferry.cluster.client import Cluster
    from modelferry.cluster.kubeconfig import load
    from modelferry.cluster.transport import Transport

    credentials = load(access, environ)
    cluster = Cluster(Transport(credentials), namespace=credentials.namespace)
    cluster.version()
    return cluster
