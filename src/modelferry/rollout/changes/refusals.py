"""What the cluster refuses, told with file, line, and what to do about it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelferry.cluster.transport import Refused
from modelferry.errors import Annotation, RolloutError
from modelferry.rollout.changes.decide import Action, Change
from modelferry.rollout.changes.marks import other_release_of
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.objects import podspec
from modelferry.rollout.objects.field_managers import conflicts
from modelferry.rollout.objects.fields import mappings

_FIXED = (
    "is immutable",
    "are immutable",
    "updates to statefulset spec",
    "may not change once set",
    "forbidden after creation",
    "cannot be changed",
)
_RENAME = "Keep its value, give the object another name, or delete it yourself first: "
# Why these are not deleted and made anew for the user.
_WHY_NOT: Mapping[str, str] = {
    "Deployment": "its pods would be down meanwhile.",
    "StatefulSet": "its pods would be down meanwhile; of its spec only replicas, template,"
    " updateStrategy, minReadySeconds, ordinals and the claims' retention can change.",
    "DaemonSet": "its pods would be down meanwhile.",
    "Service": "its address would change; leave clusterIP out to keep the one that it has.",
    "PersistentVolumeClaim": "its data would be lost with it; only a larger size can be asked for.",
    "PersistentVolume": "its data may be lost with it.",
}
_ASK = "Satisfy this rule of the cluster in the manifest, or ask who keeps it."
_REMEDIES: Mapping[str, str] = {
    "exceeded quota": "Ask for less, free some of it, or have it raised: kubectl describe quota",
    "is being terminated": "Wait until the namespace is gone, then make it anew; or take another.",
    "failed calling webhook": "That webhook does not answer: look at its pods, then run again.",
    "denied the request": _ASK,
    "denied request": _ASK,
    "violates PodSecurity": _ASK,
    "not found": "Add it to `manifests`, make it first, or correct its name.",
}
_CORRECT = "Correct it in the manifest."
_UNFIT = (400, 413, 422, 500)
_LONGEST_LINE, _END = 300, 100
_TYPED = re.compile(r"^\s*(?:failed to .*?\): )?\.([^\s:]+): ", re.MULTILINE)
_STEP = re.compile(r"([^.\[\]]+)|\[([^\]]*)\]")


KEEPS_PODS = "its pods would go on with the old image: this kind replaces none"
_KEEP_PODS = (("", "ReplicationController"), ("apps", "ReplicaSet"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    placed: Placed
    refused: Refused
    change: Change | None = None  # what was to be done, where only a part of it is refused

    @property
    def text(self) -> str:
        found = conflicts(self.refused)
        if found:
            return "; ".join(map(str, found))
        return self.refused.message or self.refused.what

    @property
    def line(self) -> str:
        """The text without the rest of a Go struct, or the middle of what is long."""
        lines = self.text.splitlines()
        struct = (number for number, text in enumerate(lines) if text.rstrip().endswith("{"))
        said = " ".join(" ".join(lines[: next(struct, len(lines)) or 1]).split())
        if len(said) <= _LONGEST_LINE:
            return said
        return f"{said[: _LONGEST_LINE - _END]} … {said[-_END:]}"

    @property
    def hint(self) -> str:
        if conflicts(self.refused):
            return "Leave the field out of the manifest, or set `force: true` to take it."
        if self.refused.code == 422 and any(word in self.refused.message for word in _FIXED):
            kind = self.placed.resource.kind
            return _RENAME + _WHY_NOT.get(kind, "what depends on it would miss it meanwhile.")
        known = (do for said, do in _REMEDIES.items() if said in self.refused.message)
        unfit = _CORRECT if self.refused.code in _UNFIT else ""
        return self.refused.do or next(known, unfit)

    def annotation(self) -> Annotation:
        manifest = self.placed.manifest
        return Annotation(
            file=manifest.file,
            line=manifest.line_of(*_path(manifest.body, _field(self.refused))),
            title="Refused by the cluster",
            message=f"{manifest.label}: {self.line}",
        )

    def __str__(self) -> str:
        return f"{self.placed.manifest.place}: {self.placed.label}: {self.text}"


def _field(refused: Refused) -> str:
    """Where it is wrong, as far as the cluster says."""
    if refused.causes:
        return refused.causes[0].field
    found = _TYPED.search(refused.message)
    return found[1] if found else ""


def _path(body: Any, field: str) -> Iterator[str | int]:
    """`spec.containers[0].image`, or `spec.containers[name="app"].image`."""
    for name, key in _STEP.findall(field):
        step: str | int = name or (int(key) if key.isdigit() else key)
        if isinstance(body, list) and (found := _index(body, key)) is not None:
            step = found
        yield step
        body = _inner(body, step)


def _inner(body: Any, step: str | int) -> Any:
    """None where there is nothing: the line of what would hold it is told."""
    try:
        return body[step]
    except (LookupError, TypeError):
        return None


def _index(items: Any, key: str) -> int | None:
    """Of the item that has `name="app"`."""
    name, _, value = key.partition("=")
    wanted = value.strip('"')
    return next((at for at, item in mappings(items) if str(item.get(name)) == wanted), None)


def not_ours_alone(refused: Refused, lost: Sequence[str]) -> Refused:
    """It cannot be changed in place, and made anew it would lack what others put into it."""
    message = f"{refused.message}; it is not deleted and made anew, for {'; '.join(lost)}"
    do = "Give the object another name, or delete it yourself, with what others have put into it."
    return Refused(message, code=409, status={"message": message}, do=do)


def of_another_release(change: Change) -> Refusal | None:
    theirs = other_release_of(change.live, change.placed.body)
    if not theirs:
        return None
    message = f"it belongs to release {theirs}, which applied it"
    do = "Give the object another name, take it out of one of the two releases' manifests, or set"
    do += " `force: true` to take it."
    refused = Refused(message, code=409, status={"message": message}, do=do)
    return Refusal(placed=change.placed, refused=refused)


def of_old_pods(change: Change) -> Refusal | None:
    """What runs pods of its own, and never replaces them."""
    resource, live, result = change.placed.resource, change.live, change.result
    if (resource.group, resource.kind) not in _KEEP_PODS or live is None or result is None:
        return None
    new_image = podspec.images(live) != podspec.images(result)
    if change.action is not Action.UPDATE or not new_image or not live["spec"].get("replicas", 1):
        return None
    do = "Use a Deployment, or scale it to 0 before."
    refused = Refused(KEEPS_PODS, code=409, status={"message": KEEPS_PODS}, do=do)
    return Refusal(placed=change.placed, refused=refused)


def error_of(refusals: Sequence[Refusal]) -> RolloutError:
    first, *more = refusals
    others = f" (and {len(more)} more)" if more else ""
    return RolloutError(
        f"the cluster would refuse {first.placed.label}: {first.line}{others}",
        seen="\n".join(f"- {refusal}" for refusal in refusals) + "\nNothing was written.",
        do="\n".join(dict.fromkeys(filter(None, (refusal.hint for refusal in refusals)))),
        annotations=tuple(refusal.annotation() for refusal in refusals),
    )


def when_it_counted(placed: Placed, refused: Refused) -> RolloutError:
    refusal = Refusal(placed=placed, refused=refused)
    return RolloutError(
        f"the cluster refused {placed.label}: {refusal.line}",
        seen=f"- {refusal}",
        do=refusal.hint,
        annotations=(refusal.annotation(),),
    )
