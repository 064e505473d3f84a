"""Our marks on objects: whose they are, and for which run and image they were last applied. Pure.

They are annotations, so that they say nothing to any selector, and no comparison sees them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.objects import podspec
from modelferry.rollout.objects.fields import mapping_at, with_value

Object = Mapping[str, Any]

OURS = "modelferry/"
_RELEASE, _DIGEST = OURS + "release", OURS + "image-digest"
_ANNOTATIONS = ("metadata", "annotations")
# Several releases may bring the same one, and none takes it away.
_SHARED = ("Namespace", "CustomResourceDefinition")


def release_mark(release: str, namespace: str) -> str:
    """Two namespaces may have releases of one name, and share what belongs to no namespace."""
    return f"{namespace}/{release}"


def marked(manifest: ManifestObject, marks: Mapping[str, str], image: str) -> ManifestObject:
    """Each object says whose it is. Those that run `image` bear all marks; their pod templates
    none, for pods would restart, but for the digest where a tag hides that it is another one."""
    body = manifest.body
    runs_it = image in podspec.images(body).values()
    for name, value in marks.items():
        if runs_it or (name == "release" and manifest.kind not in _SHARED):
            body = with_value(body, (*_ANNOTATIONS, OURS + name), value)
    path = podspec.spec_path(body)
    if runs_it and path and "@" not in image:
        body = with_value(body, (*path[:-1], *_ANNOTATIONS, _DIGEST), marks["image-digest"])
    return manifest.changed(body)


def said(body: Object) -> Mapping[str, str]:
    return mapping_at(body, _ANNOTATIONS)


def other_release(live: Object | None, mine: str) -> str:
    """The release that has applied it, where that is not `mine` (a release_mark); else empty."""
    theirs = said(live or {}).get(_RELEASE, "")
    if "/" not in theirs:  # of a version that did not write the namespace
        return "" if theirs == mine.rpartition("/")[2] else theirs
    return "" if theirs == mine else theirs


def other_release_of(live: Object | None, body: Object) -> str:
    """As other_release, for a body that bears our mark; empty for one that bears none."""
    mine = said(body).get(_RELEASE)
    return other_release(live, mine) if mine else ""


def left_to(body: Object, release: str) -> Object:
    return with_value(body, (*_ANNOTATIONS, _RELEASE), release)


def another_digest(live: Object, result: Object) -> bool:
    """A tag in it means another image than when it was applied, as far as the marks say."""
    by_tag = any(image and "@" not in image for image in podspec.images(result).values())
    return by_tag and said(live).get(_DIGEST) != said(result).get(_DIGEST)
