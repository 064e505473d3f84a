"""The images of a run in the engine: gone with the run, but for the newest, which the next run
builds upon.

An image is held by a name for each run that needs it, and removed by taking the name away: the
engine drops an image with its last name, and refuses while a container is made of it. So no run
takes an image from another run, nor from a person who gave it a name of their own.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from modelferry.engine import Engine
from modelferry.errors import BuildError

log = logging.getLogger("modelferry.image")

Part = Literal["app", "image", "target"]

_NOWHERE = "modelferry.invalid"  # no registry can ever have this name (RFC 6761): nobody pushes it
_READABLE = 100  # characters of the key; a name may have 255
_TAG = re.compile(r"(?P<state>running|newest)-(?P<since>[0-9]+)-.+")
_ABANDONED_S = 24 * 3600  # a run that was killed could not clean up; none takes this long


@dataclass(frozen=True, slots=True, kw_only=True)
class RunImages:
    engine: Engine
    key: str  # which runs follow one another: what one keeps, the next replaces
    run_label: str
    since: int = field(default_factory=lambda: int(time.time()))

    @property
    def repository(self) -> str:
        words = re.sub(r"[^a-z0-9]+", "-", self.key.lower())[-_READABLE:].strip("-") or "image"
        return f"{_NOWHERE}/{words}-{hashlib.sha256(self.key.encode()).hexdigest()[:12]}"

    def name(self, part: Part) -> str:
        return f"{self.repository}:running-{self.since}-{part}-{self.run_label}"

    def hold(self, image_id: str, part: Part) -> bool:
        """False when the engine does not have that image, or no longer."""
        return self._tag(image_id, self.name(part))

    def drop(self, part: Part) -> None:
        with _told(f"left behind: image {self.name(part)}"):
            self._remove(self.name(part))

    def keep(self) -> None:
        """What this run made is the newest; that which was newest before goes with `release`."""
        newest = f"{self.repository}:newest-{int(time.time())}-{self.run_label}"
        with _told(f"image {newest} is not kept"):
            if not self._tag(self.name("image"), newest):
                log.debug("%s was removed during the run", self.name("image"))

    def release(self) -> None:
        for part in get_args(Part):
            self.drop(part)
        with _told(f"left behind: old images of {self.repository}"):
            for tag in outdated(self._tags(), time.time()):
                self._remove(f"{self.repository}:{tag}")

    def _tag(self, image: str, name: str) -> bool:
        repository, _, tag = name.rpartition(":")
        response = self.engine.request(
            "POST", f"/images/{image}/tag", params={"repo": repository, "tag": tag}
        )
        if response.status_code == 404:
            return False
        self.engine.check(response, f"name image {image}")
        return True

    def _tags(self) -> tuple[str, ...]:
        images: list[dict[str, Any]] = self.engine.client.api.images(name=self.repository)
        names = [name for image in images for name in image["RepoTags"] or ()]
        return tuple(name.rpartition(":")[2] for name in names)

    def _remove(self, name: str) -> None:
        """`noprune`: what the image was made from is not ours to remove."""
        response = self.engine.request("DELETE", f"/images/{name}", params={"noprune": "1"})
        if response.status_code == 409:
            log.debug("%s is in use and stays", name)
        elif response.status_code != 404:
            self.engine.check(response, f"remove {name}")


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Tidying up decides nothing: the run has ended well or badly already."""
    import requests.exceptions

    try:
        yield
    except (requests.exceptions.RequestException, BuildError) as error:
        log.warning("%s (%s)", what, error)


@contextmanager
def run_images(engine: Engine, key: str, run_label: str) -> Iterator[RunImages]:
    """A run that fails leaves nothing; one that ends well leaves its image."""
    images = RunImages(engine=engine, key=key, run_label=run_label)
    try:
        yield images
        images.keep()
    finally:
        images.release()


def outdated(tags: Collection[str], now_s: float) -> tuple[str, ...]:
    """All but the newest, and what runs held that were killed. Whichever of several runs comes
    last, the same one stays."""
    known = [(found, tag) for tag in tags if (found := _TAG.fullmatch(tag))]
    newest = sorted(
        (int(found["since"]), tag) for found, tag in known if found["state"] == "newest"
    )
    abandoned = (
        tag
        for found, tag in known
        if found["state"] == "running" and now_s - int(found["since"]) > _ABANDONED_S
    )
    return (*(tag for _, tag in newest[:-1]), *abandoned)
