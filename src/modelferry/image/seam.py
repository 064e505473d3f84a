"""Where the model's layers go among the app's. Pure; a stack is its diff ids, bottom first.

A node unpacks a layer again when anything below it changed, so what moves seldom belongs below
what moves often: the model lies above all that this image shares with the last released one and
below all that changed, and stays where it was while everything under it is as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelferry.values import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedStack:
    """The last released image: the app's diff ids, and how many of them lay below the model."""

    app: tuple[Digest, ...]
    below_model: int


def choose_seam(
    app: Sequence[Digest],
    *,
    released: ReleasedStack | None = None,
    base_layers: int | None = None,
    lowest: int = 0,
) -> int:
    """How many of the app's layers lie below the model.

    `base_layers`: how many the base image gave, None where that is not known.
    `lowest`: below this one, some layer would hide the model.
    """
    if released is not None:
        wanted = min(released.below_model, shared_layers(app, released.app))
    else:
        wanted = len(app) if base_layers is None else base_layers
    return min(max(wanted, lowest), len(app))


def shared_layers(one: Sequence[Digest], other: Sequence[Digest]) -> int:
    """The length of the common beginning."""
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        count += 1
    return count
