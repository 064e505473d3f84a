"""What the cluster would refuse, told with file, line, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelferry.cluster.transport import Refused
from modelferry.errors import Annotation, RolloutError
from modelferry.rollout.changes.decide import Change
from modelferry.rollout.changes.marks import other_release_of
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.objects.field_managers import conflicts

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
    def hint(self) -> str:
        if conflicts(self.refused):
            return "Leave the field out of the manifest, or set `force: true` to take it."
        if self.refused.code == 422 and any(word in self.refused.message for word in _FIXED):
            kind = self.placed.resource.kind
            return _RENAME + _WHY_NOT.get(kind, "what depends on it would miss it meanwhile.")
        return self.refused.do

    def annotation(self) -> Annotation:
        manifest = self.placed.manifest
        return Annotation(
            file=manifest.file,
            line=manifest.line,
            title="Refused by the cluster",
            message=f"{manifest.label}: {self.text}",
        )

    def __str__(self) -> str:
        return f"{self.placed.manifest.place}: {self.placed.label}: {self.text}"


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


def error_of(refusals: Sequence[Refusal]) -> RolloutError:
    first, *more = refusals
    others = f" (and {len(more)} more)" if more else ""
    return RolloutError(
        f"the cluster would refuse {first.placed.label}: {first.text}{others}",
        seen="\n".join(f"- {refusal}" for refusal in refusals) + "\nNothing was written.",
        do="\n".join(dict.fromkeys(filter(None, (refusal.hint for refusal in refusals)))),
        annotations=tuple(refusal.annotation() for refusal in refusals),
    )
