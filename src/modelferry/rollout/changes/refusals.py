"""What the cluster would refuse, told with file, line, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelferry.cluster.transport import Refused
from modelferry.errors import Annotation, RolloutError
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


def error_of(refusals: Sequence[Refusal]) -> RolloutError:
    first, *more = refusals
    others = f" (and {len(more)} more)" if more else ""
    return RolloutError(
        f"the cluster would refuse {first.placed.label}: {first.text}{others}",
        seen="\n".join(f"- {refusal}" for refusal in refusals) + "\nNothing was written.",
        do="\n".join(dict.fromkeys(filter(None, (refusal.hint for refusal in refusals)))),
        annotations=tuple(refusal.annotation() for refusal in refusals),
    )
