"""Puts the built image where the manifests want it, strictly: nothing silent, nothing guessed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from modelferry.rollout.manifests.load import ManifestError, ManifestObject, Problem
from modelferry.rollout.manifests.text_fields import shown
from modelferry.rollout.manifests.variables import UNFILLED
from modelferry.rollout.objects.fields import Path, with_value
from modelferry.rollout.objects.podspec import Container, spec_path, templates
from modelferry.rollout.spec import ImageRule
from modelferry.values import ImageRef

_DATA_ONLY = ("ConfigMap", "Secret")  # an `image` key in there is somebody's data


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """A row of the table that is printed."""

    object: str
    path: str
    before: str
    after: str
    place: str

    def __str__(self) -> str:
        before = "" if self.before == self.after else f"{self.before or '(none)'} → "
        return f"{self.object} {self.path}: {before}{self.after} ({self.place})"


def substitute(
    objects: Sequence[ManifestObject], built: ImageRef, rules: Sequence[ImageRule]
) -> tuple[tuple[ManifestObject, ...], tuple[Replacement, ...]]:
    """`built` is written wherever an image of its registry/repository stands, or a rule says so.

    Raises ManifestError for a placeholder left in an image, an image that cannot be read, a rule
    that matches nothing or several different images, and when nothing at all takes `built`.
    """
    problems = list(_misplaced_rules(objects, rules))
    by_name = {rule.container: rule.image or built for rule in rules}
    replaced: list[ManifestObject] = []
    table: list[Replacement] = []
    for found in objects:
        body = found.body
        for container in templates(body):
            problem = _unreadable(found, container)
            if container.name not in by_name and problem:
                problems.append(problem)
                continue
            target = by_name.get(container.name)
            if target is None and _same_repository(container.image, built):
                target = built
            if target is None:
                continue
            body = with_value(body, (*container.path, "image"), str(target))
            table.append(_row(found, container, str(target)))
        replaced.append(found.changed(body))
    problems += _leftovers(replaced)
    if not problems and not _used(replaced, built):
        problems = [_nothing_replaced(objects, built)]
    if problems:
        raise ManifestError(problems)
    return tuple(replaced), tuple(table)


def _row(found: ManifestObject, container: Container, after: str) -> Replacement:
    return Replacement(
        object=found.label,
        path=container.image_path,
        before=container.image or "",
        after=after,
        place=f"{found.file}:{found.line_of(*container.path, 'image')}",
    )


def _unreadable(found: ManifestObject, container: Container) -> Problem | None:
    """A missing image is left to the cluster, a placeholder was reported with the others."""
    if container.image is None or UNFILLED.search(container.image):
        return None
    try:
        ImageRef.parse(container.image)
    except ValueError as error:
        line = found.line_of(*container.path, "image")
        return Problem(found.file, line, f"{container.image_path}: {error}")
    return None


def _same_repository(image: str | None, built: ImageRef) -> bool:
    if image is None or UNFILLED.search(image):
        return False
    reference = ImageRef.parse(image)
    same_host = reference.registry.lower() == built.registry.lower()
    return same_host and reference.repository == built.repository


def _misplaced_rules(
    objects: Sequence[ManifestObject], rules: Sequence[ImageRule]
) -> Iterator[Problem]:
    for rule in rules:
        hits = [
            (found, container)
            for found in objects
            for container in templates(found.body)
            if container.name == rule.container
        ]
        if not hits:
            yield Problem(
                *_first_image(objects),
                f"`images` names container {rule.container}, which no manifest has; there are:\n"
                + _inventory(objects),
            )
        elif len({_name(container.image) for _, container in hits}) > 1:
            listed = "\n".join(
                f"- {found.label} {container.image_path}: {container.image} ({found.place})"
                for found, container in hits
            )
            yield Problem(
                hits[0][0].file,
                hits[0][0].line,
                f"`images` names container {rule.container}, which runs different images here;"
                f" rename one, or write the image into the manifests:\n{listed}",
            )


def _name(image: str | None) -> str | None:
    try:
        return ImageRef.parse(image).name if image else None
    except ValueError:
        return image


def _leftovers(objects: Sequence[ManifestObject]) -> Iterator[Problem]:
    for found in objects:
        if found.kind in _DATA_ONLY:
            continue
        for path, text in _scalars(found.body):
            if path[-1] == "image" and (left := UNFILLED.search(text)):
                yield Problem(
                    found.file,
                    found.line_of(*path),
                    f"{left[0]} in the image {text!r} is a placeholder that nothing fills: write"
                    " $IMAGE, give $NAME in `variables`, or name the container in `images`",
                )


def _used(objects: Sequence[ManifestObject], built: ImageRef) -> bool:
    """Also where a kind that we do not know names it, by way of $IMAGE."""
    wanted = str(built)
    return any(text == wanted for found in objects for _, text in _scalars(found.body))


def _nothing_replaced(objects: Sequence[ManifestObject], built: ImageRef) -> Problem:
    return Problem(
        *_first_image(objects),
        f"no manifest runs {built.name}: write that image, $IMAGE, or a line"
        f" CONTAINER={built.name} in `images`; there are:\n{_inventory(objects)}",
    )


def _first_image(objects: Sequence[ManifestObject]) -> tuple[str, int]:
    """File and line; of the first object where there is no image at all."""
    written = ((found.file, line) for found in objects for _, _, line in _images(found))
    return next(written, (objects[0].file, objects[0].line))


def _inventory(objects: Sequence[ManifestObject]) -> str:
    lines = [
        f"- {found.label} {path}: {image or '(none)'} ({found.file}:{line})"
        for found in objects
        for path, image, line in _images(found)
    ]
    return "\n".join(lines) or "- no container at all"


def _images(found: ManifestObject) -> Iterator[tuple[str, str | None, int]]:
    """Also what else a kind that we do not know calls an image."""
    known = {(*container.path, "image"): container for container in templates(found.body)}
    for path, container in known.items():
        yield container.image_path, container.image, found.line_of(*path)
    if spec_path(found.body) is None and found.kind not in _DATA_ONLY:
        for path, text in _scalars(found.body):
            if path[-1] == "image" and path not in known:
                yield shown(path), text, found.line_of(*path)


def _scalars(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _scalars(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _scalars(inner, (*path, index))
    elif isinstance(value, str) and path:
        yield path, value
