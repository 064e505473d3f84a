"""Sixteen ways in which a deploy fails: each must be red, with the right object and cause in the
first annotation, alone and among good workloads, and leave what was there before."""

import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from modelferry.cluster.transport import Refused
from modelferry.errors import Annotation, FerryError
from modelferry.rollout import undo
from modelferry.rollout.running_image import container_statuses
from prove import kube_workloads as w
from prove import kube_yard, release_run
from prove.kube_workloads import CRASH, READY, Body
from prove.kube_yard import Yard
from prove.proof import Outcome, Play, Proof, red, wrong

_EAT = "python3 -c 'x = [bytearray(1 << 26) for _ in range(64)]'"
_LABEL = "score"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureClass:
    name: str
    bodies: tuple[Body, ...]
    cause: str  # a regular expression for the first annotation
    is_lost: Callable[[Sequence[Mapping[str, Any]]], bool]  # asked of pods, their makers, jobs
    within_s: float = 20  # from then to the verdict
    label: str = "deployment/score"  # the object that the annotation must stand at; empty: none
    around: Callable[[Yard, str], AbstractContextManager[None]] = lambda _, __: nullcontext()
    orders: Mapping[str, Any] = field(default_factory=dict)


def _deployment(script: str = READY, **container: Any) -> Body:
    return w.workload("Deployment", w.pod_spec("$IMAGE", script, container=container))


def _with_volume(volume: Body) -> Body:
    body = _deployment(volumeMounts=[{"name": "v", "mountPath": "/v"}])
    body["spec"]["template"]["spec"]["volumes"] = [{"name": "v", **volume}]
    return body


def _somewhere(**more: Any) -> Body:
    return w.workload("Deployment", w.pod_spec("$IMAGE", READY, **more))


@contextmanager
def _policy(yard: Yard, namespace: str) -> Iterator[None]:
    """Refuses pods of the failing workload, as a cluster's policy does."""
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["pods"],
    }
    spec = {
        "matchConstraints": {"resourceRules": [rule], "namespaceSelector": selector},
        "validations": [
            {
                "expression": f"object.metadata.?labels.app.orValue('') != '{_LABEL}'",
                "message": "pods of this team run in another cluster",
            }
        ],
    }
    group = "admissionregistration.k8s.io/v1"
    binding = {"policyName": namespace, "validationActions": ["Deny"]}
    bodies = (
        w.of(group, "ValidatingAdmissionPolicy", namespace, spec=spec),
        w.of(group, "ValidatingAdmissionPolicyBinding", namespace, spec=binding),
    )
    with _cluster_wide(yard, *bodies):
        _until_pods_are_refused(yard, namespace)
        yield


@contextmanager
def _silent_webhook(yard: Yard, namespace: str) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts, and never says a word
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"]}
        hook = {
            "name": "policy.example.org",
            "clientConfig": {"url": f"https://127.0.0.1:{listener.getsockname()[1]}/"},
            "rules": [{**rule, "resources": ["pods"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "objectSelector": {"matchLabels": {"app": _LABEL}},
            "timeoutSeconds": 1,
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        kind = "ValidatingWebhookConfiguration"
        body = w.of("admissionregistration.k8s.io/v1", kind, namespace, webhooks=[hook])
        with _cluster_wide(yard, body):
            _until_pods_are_refused(yard, namespace)
            yield


@contextmanager
def _quota(yard: Yard, namespace: str) -> Iterator[None]:
    spec = {"hard": {"pods": "0"}, "scopes": ["NotBestEffort"]}
    yard.apply(namespace, [w.of("v1", "ResourceQuota", "none-with-requests", spec=spec)])
    yield


@contextmanager
def _dead_node(yard: Yard, namespace: str) -> Iterator[None]:
    """Nobody works there, and only pods that tolerate everything are meant for it."""
    taint = {"key": "prove", "value": namespace, "effect": "NoSchedule"}
    with _cluster_wide(yard, w.of("v1", "Node", namespace, spec={"taints": [taint]})):
        yield


@contextmanager
def _good_stateful_set(yard: Yard, namespace: str) -> Iterator[None]:
    """Its pods are replaced one by one, and a bad one keeps the rest from coming back."""
    spec = w.pod_spec(yard.image, READY)
    body = w.workload("StatefulSet", spec, name="state", serviceName="state")
    kube_yard.follow(yard.cluster, yard.apply(namespace, [body]), 60)
    yield


@contextmanager
def _other_manager(yard: Yard, namespace: str) -> Iterator[None]:
    resource = yard.cluster.resource("apps/v1", "Deployment")
    if resource is None:
        raise AssertionError("a cluster without Deployments")
    body = {**_somewhere(), "metadata": {"name": _LABEL}}
    body["spec"] = {**body["spec"], "minReadySeconds": 2}
    text = yaml.safe_dump(body).replace("$IMAGE", yard.image)
    yard.cluster._transport.json(  # noqa: SLF001 - the adapter writes as ourselves only
        "PATCH",
        resource.path(namespace, _LABEL),
        query=[("fieldManager", "argo-cd")],
        body=yaml.safe_load(text),
        content_type="application/apply-patch+yaml",
    )
    yield


@contextmanager
def _cluster_wide(yard: Yard, *bodies: Body) -> Iterator[None]:
    made: list[tuple[Any, Mapping[str, Any]]] = []
    try:
        for body in bodies:
            resource = yard.cluster.resource(body["apiVersion"], body["kind"])
            if resource is None:
                raise AssertionError(f"the cluster serves no {body['kind']}")
            made.append((resource, yard.cluster.apply(resource, body, None)))
        yield
    finally:
        for resource, found in reversed(made):
            metadata = found["metadata"]
            yard.cluster.delete(resource, metadata["name"], None, uid=metadata["uid"])


def _until_pods_are_refused(yard: Yard, namespace: str) -> None:
    """A policy is in force some moments after it was made."""
    pods = yard.cluster.resource("v1", "Pod")
    body = w.pod(w.pod_spec(yard.image, READY), name="probe")
    body["metadata"]["labels"] = {"app": _LABEL}
    until = time.monotonic() + 30
    while pods and time.monotonic() < until:
        try:
            yard.cluster.apply(pods, body, namespace, dry_run=True)
        except Refused:
            return
        time.sleep(0.3)
    raise TimeoutError("the admission rule does not come into force")


def _waits(reason: str) -> Callable[[Sequence[Mapping[str, Any]]], bool]:
    return lambda found: any(
        status.get("state", {}).get("waiting", {}).get("reason") == reason
        for body in found
        for status in container_statuses(body)
    )


def _exited(times: int) -> Callable[[Sequence[Mapping[str, Any]]], bool]:
    return lambda found: any(
        status["restartCount"] + 1 >= times
        and "running" not in status["state"]
        and ("terminated" in status["state"] or status.get("lastState"))
        for body in found
        for status in container_statuses(body)
    )


def _is(condition: str, status: str = "True") -> Callable[[Sequence[Mapping[str, Any]]], bool]:
    return lambda found: any(
        entry["type"] == condition and entry["status"] == status
        for body in found
        for entry in body.get("status", {}).get("conditions") or ()
    )


def _runs(found: Sequence[Mapping[str, Any]]) -> bool:
    return any(body.get("status", {}).get("phase") == "Running" for body in found)


def _never(_: Sequence[Mapping[str, Any]]) -> bool:
    """Refused before anything is written."""
    return False


_RESTORED = (("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("v1", "ConfigMap"))
_POD = r"^pod score\S* \(deployment/score\): "
_STATE = w.workload("StatefulSet", w.pod_spec("$IMAGE", CRASH), name="state", serviceName="state")
_AGENT = w.workload(
    "DaemonSet",
    w.pod_spec("$IMAGE", READY, tolerations=[{"operator": "Exists"}]),
    name="agent",
    updateStrategy={"rollingUpdate": {"maxUnavailable": "100%"}},
)
_LONE = w.pod(w.pod_spec("$IMAGE", CRASH, probe=False, restartPolicy="Never"), name="lone")

CLASSES = (
    FailureClass(
        name="image",
        bodies=(
            w.workload(
                "Deployment",
                w.pod_spec(
                    "$IMAGE",
                    READY,
                    initContainers=[{"name": "first", "image": "$ACR_DNS/prove-absent:1"}],
                ),
            ),
        ),
        cause=_POD + r"container first: the image .*prove-absent:1 cannot be pulled: .*not found",
        is_lost=_waits("ErrImagePull"),
    ),
    FailureClass(
        name="crash loop",
        bodies=(_deployment(CRASH),),
        cause=_POD + r"container score crashed \(exit 1\) 3 times: ImportError",
        is_lost=_exited(3),
    ),
    FailureClass(
        name="never ready",
        bodies=(_deployment("sleep inf"),),
        cause=_POD + r"not ready after 12\.0 s: up-to-date 1 of 1, .*Readiness probe failed",
        is_lost=_runs,
        within_s=25,
        orders={"timeout_s": 12.0},
    ),
    FailureClass(
        name="memory",
        bodies=(_deployment(_EAT, resources={"limits": {"memory": "48Mi"}}),),
        cause=_POD + r"container score was killed for want of memory \(OOMKilled, limit 48Mi\)",
        is_lost=_exited(3),
    ),
    FailureClass(
        name="quota",
        bodies=(_deployment(resources={"requests": {"cpu": "1m"}}),),
        cause=r"^deployment/score: its pods are refused: .*exceeded quota: none-with-requests",
        is_lost=_is("ReplicaFailure"),
        around=_quota,
    ),
    FailureClass(
        name="admission",
        bodies=(_deployment(),),
        cause=r"^deployment/score: its pods are refused: .*this team run in another cluster",
        is_lost=_is("ReplicaFailure"),
        around=_policy,
    ),
    FailureClass(
        name="secret",
        bodies=(_deployment(envFrom=[{"secretRef": {"name": "absent"}}]),),
        cause=_POD + r'container score cannot be created: secret "absent" not found',
        is_lost=_waits("CreateContainerConfigError"),
    ),
    FailureClass(
        name="claim",
        bodies=(
            w.of(
                "v1",
                "PersistentVolumeClaim",
                "data",
                spec={
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Mi"}},
                },
            ),
            _with_volume({"persistentVolumeClaim": {"claimName": "data"}}),
        ),
        cause=_POD + r"claim data cannot be bound: no persistent volumes available",
        is_lost=_is("PodScheduled", "False"),
        within_s=45,
    ),
    FailureClass(
        name="no node",
        bodies=(_somewhere(nodeSelector={"kind": "of-gold"}),),
        cause=_POD + r"it fits no node: .*didn't match Pod's node affinity/selector",
        is_lost=_is("PodScheduled", "False"),
        within_s=45,
    ),
    FailureClass(
        name="job",
        bodies=(w.job(w.pod_spec("$IMAGE", CRASH, probe=False), backoffLimit=0),),
        cause=r"^job/score: the job failed: BackoffLimitExceeded.*: ImportError",
        is_lost=_is("Failed"),
        label="job/score",
    ),
    FailureClass(
        name="bare pod",
        bodies=(_LONE,),
        cause=r"^pod/lone: it failed: container score ended with exit code 1.*: ImportError",
        is_lost=_exited(1),
        label="pod/lone",
    ),
    FailureClass(
        name="stateful set that is stuck",
        bodies=(_STATE,),
        cause=r"^pod state-0 \(statefulset/state\): container score crashed \(exit 1\) 3 times",
        is_lost=_exited(3),
        label="statefulset/state",
        around=_good_stateful_set,
    ),
    FailureClass(
        name="daemon set on some nodes",
        bodies=(_AGENT,),
        cause=r"^pod agent-\w+ \(daemonset/agent\): it fits no node: .*Too many pods",
        is_lost=_is("PodScheduled", "False"),
        within_s=45,
        label="daemonset/agent",
        around=_dead_node,
    ),
    FailureClass(
        name="webhook that does not answer",
        bodies=(_deployment(),),
        cause=r"^deployment/score: its pods are refused: .*failed calling webhook",
        is_lost=_is("ReplicaFailure"),
        around=_silent_webhook,
    ),
    FailureClass(
        name="field of another manager",
        bodies=(w.workload("Deployment", w.pod_spec("$IMAGE", READY), minReadySeconds=1),),
        cause=r"deployment/score: .*\.spec\.minReadySeconds is owned by argo-cd",
        is_lost=_never,
        around=_other_manager,
    ),
    FailureClass(
        name="namespace that is not there",
        bodies=(_deployment(),),
        cause=r"has no namespace prove-nowhere",
        is_lost=_never,
        label="",
        orders={"namespace": "prove-nowhere"},
    ),
)


def play(yard: Yard, number: int) -> Outcome:
    failure = CLASSES[number % len(CLASSES)]
    others = 4 if number // len(CLASSES) % 2 else 0
    with yard.namespace() as namespace, tempfile.TemporaryDirectory() as folder:
        settings = w.of("v1", "ConfigMap", "settings", data={"version": "1"})
        good = [_named(f"good-{n}") for n in range(others)]
        first = _deploy(yard, namespace, Path(folder), "1", [settings, _named("base"), *good], {})
        if first.error:
            return wrong(f"the release before: {first.error}")
        changed = {**settings, "data": {"version": "2"}}
        with failure.around(yard, namespace):
            before = _templates(yard, namespace)
            bodies = [changed, _named("base", "2"), *good, *failure.bodies]
            with _spectator(yard, namespace, failure) as lost_at:
                second = _deploy(yard, namespace, Path(folder), "2", bodies, failure.orders)
        late_s = second.verdict_at - min(lost_at, default=second.verdict_at)
        told = _faults(failure, second, late_s)
        if not told and _templates(yard, namespace) != before:
            told = f"not as before: {_templates(yard, namespace)} instead of {before}"
    name = failure.name + (" in a set of five" if others else "")
    shown = f"{name}: {second} {late_s:.1f} s after it was lost"
    return wrong(f"{shown}: {told}\n{second.error}") if told else red(shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    error: FerryError | None
    verdict_at: float  # on the clock of time.monotonic()
    text: str  # the manifest

    def __str__(self) -> str:
        return self.error.what.splitlines()[0] if self.error else "ready"


def _deploy(
    yard: Yard,
    namespace: str,
    folder: Path,
    run: str,
    bodies: list[Body],
    orders: Mapping[str, Any],
) -> _Answer:
    text = yaml.safe_dump_all(bodies)
    (folder / "app.yaml").write_text(text)
    given = {"namespace": namespace, "timeout_s": 120.0, **orders}
    error = None
    with _verdicts() as moments:
        try:
            release_run.deploy(
                release_run.Orders(
                    kubeconfig=str(yard.kubeconfig),
                    workspace=str(folder),
                    image=yard.image,
                    run=run,
                    **given,
                )
            )
        except FerryError as raised:
            error = raised
    verdict = moments[0] if moments else time.monotonic()
    return _Answer(error=error, verdict_at=verdict, text=text)


@contextmanager
def _verdicts() -> Iterator[list[float]]:
    """The moments at which rollbacks began: a run's time to its verdict ends there."""
    moments: list[float] = []
    after = undo.after

    def timed(*arguments: Any, **named: Any) -> Any:
        moments.append(time.monotonic())
        return after(*arguments, **named)

    undo.after = timed
    try:
        yield moments
    finally:
        undo.after = after


@contextmanager
def _spectator(yard: Yard, namespace: str, failure: FailureClass) -> Iterator[list[float]]:
    """The moment from which nothing could save the deploy, by what the cluster shows anybody."""
    over, moments = threading.Event(), list[float]()
    kinds = (("v1", "Pod"), ("apps/v1", "ReplicaSet"), ("batch/v1", "Job"))
    resources = [found for kind in kinds if (found := yard.cluster.resource(*kind))]

    def look() -> None:
        while not moments and not over.wait(0.3):
            found = [body for kind in resources for body in yard.cluster.list(kind, namespace)[0]]
            if failure.is_lost(found):
                moments.append(time.monotonic())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield moments
    finally:
        over.set()
        thread.join()


def _faults(failure: FailureClass, answer: _Answer, late_s: float) -> str:
    error = answer.error
    if error is None or error.status != 8:
        return "it was green" if error is None else f"status {error.status}"
    if late_s > failure.within_s:
        return "that is late"
    if not failure.label:
        return "" if re.search(failure.cause, error.what) else "another cause"
    first = error.annotations[0]
    if not re.search(failure.cause, first.message):
        return f"the first annotation says: {first.message}"
    return "" if _stands_at(first, failure, answer.text) else f"it stands at line {first.line}"


def _stands_at(annotation: Annotation, failure: FailureClass, text: str) -> bool:
    line = 1
    for part in text.split("---\n"):
        body = yaml.safe_load(part)
        count = part.count("\n")
        if body and f"{body['kind'].lower()}/{body['metadata']['name']}" == failure.label:
            return annotation.file == "app.yaml" and line <= (annotation.line or 0) <= line + count
        line += count + 1
    return False


def _named(name: str, said: str = "1") -> Body:
    spec = w.pod_spec("$IMAGE", READY, container={"env": [{"name": "SAID", "value": said}]})
    return w.workload("Deployment", spec, name=name)


def _templates(yard: Yard, namespace: str) -> Mapping[str, Any]:
    """What a rollback restores, and nothing that was new."""
    found: dict[str, Any] = {}
    for api_version, kind in _RESTORED:
        resource = yard.cluster.resource(api_version, kind)
        for body in yard.cluster.list(resource, namespace)[0] if resource else ():
            name = f"{kind}/{body['metadata']['name']}"
            found[name] = body["data"] if kind == "ConfigMap" else body["spec"]["template"]
    return found


@contextmanager
def _open(env: Mapping[str, str]) -> Iterator[Play]:
    with kube_yard.opened(env) as yard:
        yield lambda number: play(yard, number)


PROOFS = (Proof(name="watching.failure-classes", open=_open, rounds=2 * len(CLASSES)),)
