"""May we? Asked before anything is built, by reviews that the API server answers for anyone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from modelferry.cluster.resources import AUTOSCALERS, EVENTS, PODS, REPLICA_SETS, Resource
from modelferry.cluster.transport import Refused
from modelferry.errors import RolloutError
from modelferry.side_by_side import side_by_side

Call = Callable[..., dict[str, Any]]
Places = Sequence[tuple[Resource, str | None]]

_REPLACED = ("Pod", "Job")  # kinds that may have to be deleted and made anew
_MAKE_PODS = ("Pod", "Job", "ReplicationController")  # and all of the group apps
_SCALE = ("Deployment", "StatefulSet", "ReplicaSet")
_RESCALED = "an autoscaler that is not in the manifests may find its `replicas` set"
_LESS_SHOWN = "a failed rollout would show less"
_LEFT_BEHIND = "a rollback could not remove what is new"
_API = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """An object that a run keeps for itself, and what is lost where it may not."""

    resource: Resource
    namespace: str | None
    name: str
    loss: str


@dataclass(frozen=True, slots=True)
class _Question:
    verb: str
    resource: Resource
    namespace: str | None
    subresource: str = ""
    name: str = ""

    def __str__(self) -> str:
        names = (self.resource.plural, self.subresource)
        name = "/".join(filter(None, names))
        group = f".{self.resource.group}" if self.resource.group else ""
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {name}{group}{where}"


def check(
    call: Call,
    objects: Places,
    watched: Callable[[Resource], bool],
    *,
    asked: bool,
    own: Sequence[Own] = (),
) -> tuple[str, ...]:
    """`asked`: requests will be sent to the pods, which takes one of two ways."""
    needed = tuple(dict.fromkeys(_needed(objects, watched)))
    useful = {question: loss for question, loss in _useful(objects, own) if question not in needed}
    tunnel = tuple(dict.fromkeys(_tunnel(objects))) if asked else ()
    proxy = tuple(dict.fromkeys(_proxy(objects))) if asked else ()
    questions = (*needed, *useful, *tunnel, *proxy)
    answers = side_by_side(lambda question: _ask(call, question), questions)
    allowed = dict(zip(questions, answers, strict=True))
    missing = [question for question in needed if not allowed[question]]
    if not all(allowed[question] for question in proxy):
        missing += [question for question in tunnel if not allowed[question]]
    if missing:
        more = f" (and {len(missing) - 1} more)" if missing[1:] else ""
        raise RolloutError(
            f"{_user(call)} may not {missing[0]}{more}",
            seen="\n".join(f"- missing: {question}" for question in missing),
            do="Grant these by a Role and a RoleBinding: docs/kubernetes-role.md has both.",
        )
    refused: dict[str, list[str]] = {}
    for question, loss in useful.items():
        if not allowed[question]:
            refused.setdefault(loss, []).append(str(question))
    return tuple(
        f"the cluster's user may not {', '.join(missing)}: {loss}"
        for loss, missing in refused.items()
    )


def _needed(objects: Places, watched: Callable[[Resource], bool]) -> Iterator[_Question]:
    for resource, namespace in objects:
        for verb in ("get", "create", "patch"):
            yield _Question(verb, resource, namespace)
        if watched(resource):
            yield from _reading(resource, namespace)
        if resource.kind in _REPLACED:
            yield _Question("delete", resource, namespace)
        if _makes_pods(resource):
            yield from _reading(PODS, namespace)
        if resource.kind == "Deployment":
            yield from _reading(REPLICA_SETS, namespace)


def _useful(objects: Places, own: Sequence[Own]) -> Iterator[tuple[_Question, str]]:
    for namespace in _pod_namespaces(objects):
        yield _Question("get", PODS, namespace, "log"), _LESS_SHOWN
        yield from ((question, _LESS_SHOWN) for question in _reading(EVENTS, namespace))
    for resource, namespace in objects:
        if resource.kind in _SCALE:
            yield _Question("list", AUTOSCALERS, namespace), _RESCALED
        yield _Question("delete", resource, namespace), _LEFT_BEHIND
    for kept in own:
        for verb in ("get", "patch"):
            yield _Question(verb, kept.resource, kept.namespace, name=kept.name), kept.loss
        yield _Question("create", kept.resource, kept.namespace), kept.loss  # it has no name yet


def _tunnel(objects: Places) -> Iterator[_Question]:
    """A WebSocket begins as a GET, and newer API servers ask for `create` besides."""
    for namespace in _pod_namespaces(objects):
        yield _Question("get", PODS, namespace, "portforward")
        yield _Question("create", PODS, namespace, "portforward")


def _proxy(objects: Places) -> Iterator[_Question]:
    for namespace in _pod_namespaces(objects):
        yield _Question("get", PODS, namespace, "proxy")
        yield _Question("create", PODS, namespace, "proxy")


def _pod_namespaces(objects: Places) -> Iterator[str | None]:
    yield from dict.fromkeys(where for kind, where in objects if _makes_pods(kind))


def _reading(resource: Resource, namespace: str | None) -> Iterator[_Question]:
    yield _Question("list", resource, namespace)
    yield _Question("watch", resource, namespace)


def _makes_pods(resource: Resource) -> bool:
    return resource.kind in _MAKE_PODS or resource.group == "apps"


def _ask(call: Call, question: _Question) -> bool:
    attributes = {
        "verb": question.verb,
        "group": question.resource.group,
        "resource": question.resource.plural,
        "subresource": question.subresource,
        "namespace": question.namespace or "",
        "name": question.name,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    return bool(call("POST", _API, body=review)["status"]["allowed"])


def _user(call: Call) -> str:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        answer = call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review)
    except Refused:  # before Kubernetes 1.28, or not granted: only the name is lost
        return "the kubeconfig's user"
    return f"user {answer['status']['userInfo']['username']!r}"
