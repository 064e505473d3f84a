"""Where the image goes, and what is there from before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelferry.image.released import Released, ReleasedImage
from modelferry.last_release.changed import BuildKey
from modelferry.plan.spec import PushPlan

if TYPE_CHECKING:
    from modelferry.registry.client import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    push: PushPlan
    registry: Registry
    released: Released
    key: BuildKey | None = None  # of this run; None where it cannot be known beforehand

    @property
    def same(self) -> ReleasedImage | None:
        """The release that this run would only make again."""
        return self.released.made_by(self.key.digest) if self.key else None
