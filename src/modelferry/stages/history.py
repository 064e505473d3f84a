"""History: what was released in a namespace under a name, and what came of it."""

from __future__ import annotations

from modelferry.cluster import connect
from modelferry.cluster.access import ClusterAccess
from modelferry.errors import RolloutError
from modelferry.rollout.release import history, turn
from modelferry.rollout.release.history import Record


def read_history(access: ClusterAccess, release: str, namespace: str | None) -> tuple[Record, ...]:
    """Newest first; empty when nothing was. Raises RolloutError where it may not be read."""
    cluster = connect(access)
    where = namespace or cluster.namespace
    found = turn.read(cluster, release, where)
    if found is None:
        raise RolloutError(
            f"the history of {release} in namespace {where} may not be read",
            seen=f"It is the Secret {history.secret_name(release)}.",
            do="Allow `get` on it: docs/kubernetes-role.md has a Role.",
        )
    return found


def table(records: tuple[Record, ...], release: str, namespace: str | None) -> str:
    if records:
        return history.table(records)
    where = f"namespace {namespace}" if namespace else "the kubeconfig's namespace"
    return f"nothing has been released as {release} in {where}"
