"""Services that lead to no pod."""

from __future__ import annotations

from typing import Any, cast

import pytest

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import Resource
from modelferry.cluster.transport import Refused
from modelferry.errors import FerryError, RolloutError
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.reach.no_pods import in_doubt, without_pods
from modelferry.rollout.watching.findings import Applied


def applied(
    kind: str, spec: dict[str, Any], api_version: str = "v1", namespace: str = "n"
) -> Applied:
    body = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "score"}, "spec": spec}
    manifest = ManifestObject(body=body, file="a.yaml", line=3, lines={("spec", "selector"): 7})
    resource = Resource(api_version=api_version, kind=kind, plural=kind.lower(), namespaced=True)
    return Applied(
        placed=Placed(manifest=manifest, resource=resource, namespace=namespace), body=body
    )


def workload(kind: str = "Deployment", namespace: str = "n", **labels: str) -> Applied:
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main"}]}}
    if kind == "CronJob":
        return applied(kind, {"jobTemplate": {"spec": {"template": template}}}, "batch/v1")
    return applied(kind, {"template": template}, "apps/v1", namespace)


def service(selector: dict[str, str] | None, **more: Any) -> Applied:
    return applied("Service", {"selector": selector, **more} if selector is not None else more)


SKORE = service({"app": "skore"})


@pytest.mark.parametrize(
    ("found", "others", "is_in_doubt"),
    [
        (SKORE, [workload(app="score")], True),
        (SKORE, [], True),
        (SKORE, [workload(app="skore", tier="web")], False),
        (service({"app": "score", "tier": "web"}), [workload(app="score")], True),
        (SKORE, [workload(namespace="other", app="skore")], True),
        (SKORE, [workload("CronJob", app="skore")], True),
        (service(None), [], False),
        (service({}), [], False),
        (service({"app": "skore"}, type="ExternalName", externalName="x.org"), [], False),
        (applied("Service", {"selector": {"app": "x"}}, "serving.knative.dev/v1"), [], False),
        (workload(app="score"), [], False),
    ],
)
def test_services_that_select_no_pod_of_the_set_are_in_doubt(
    found: Applied, others: list[Applied], is_in_doubt: bool
) -> None:
    assert in_doubt([found, *others]) == ((found,) if is_in_doubt else ())


TOLD = (
    "a.yaml:7: service/score selects app=skore,tier=web, which no pod in namespace n has: nobody"
    " answers behind it"
)


class Listing:
    """A cluster that gives these pods, or an error."""

    def __init__(self, answer: tuple[object, ...] | FerryError) -> None:
        self._answer = answer
        self.asked: list[Any] = []

    def list(self, _: Resource, namespace: str, *, selectors: Any, tries: int) -> Any:
        self.asked.append((namespace, dict(selectors)))
        if isinstance(self._answer, FerryError):
            raise self._answer
        return self._answer, "1"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            (),
            (TOLD,),
        ),
        (({},), ()),
        (Refused("may not list pods: 403", code=403, status={}), ()),
        (RolloutError("the cluster does not answer", temporary=True), ()),
    ],
)
def test_a_service_is_told_only_when_there_is_no_pod_for_certain(
    answer: tuple[object, ...] | FerryError,
    told: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Listing(answer)
    found = service({"app": "skore", "tier": "web"})
    assert without_pods(cast("Cluster", cluster), [found, workload(app="score")]) == told
    assert cluster.asked == [("n", {"labelSelector": "app=skore,tier=web", "limit": "1"})]
    assert not [entry for entry in caplog.records if entry.levelname == "WARNING"]
