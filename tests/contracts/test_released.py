"""What a registry tells of the last release, whatever became of it meanwhile; and what a push
makes of what it was told. No engine, the testbed's registry."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from modelferry.artifacts import AppManifest, Descriptor, Image, Layer, TestedImage, Verdict
from modelferry.errors import RegistryError
from modelferry.image.compose import LAYER_TYPE, MANIFEST_TYPE, AppImage, Composition, compose
from modelferry.image.released import BUILD_KEY, Released, compose_app, keep_released
from modelferry.last_release.read import read_pushed_app, read_released
from modelferry.last_release.take import take_release
from modelferry.plan.spec import ManagedTags, PushPlan
from modelferry.registry.client import Registry
from modelferry.stages.push import push_image
from modelferry.values import Digest, ImageRef
from prove.blob import Bytes

INDEX = "application/vnd.oci.image.index.v1+json"
MAIN = ManagedTags(image="mf-main", app="mf-main-app", fallback_image=None, fallback_app=None)
BRANCH = ManagedTags(
    image="mf-new", app="mf-new-app", fallback_image="mf-main", fallback_app="mf-main-app"
)


@pytest.fixture
def plan(push_plan: PushPlan) -> PushPlan:
    return replace(push_plan, managed=MAIN)


@pytest.fixture
def registry(plan: PushPlan) -> Registry:
    return Registry(plan.access)


def layer(size: int = 5000) -> Layer:
    blob = Bytes(os.urandom(size))
    descriptor = Descriptor(media_type=LAYER_TYPE, digest=blob.digest, size_bytes=size)
    return Layer(descriptor=descriptor, diff_id=blob.digest, origin="app", read=blob.read)


def app(*layers: Layer) -> AppImage:
    config = {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in layers]},
        "moby.buildkit.cache.v0": "bm90ZXM=",
    }
    return AppImage(config=json.dumps(config).encode(), layers=layers)


def image_of(composed: Composition, own: Composition | None) -> Image:
    return Image(
        config=composed.config_bytes,
        manifest=composed.manifest_bytes,
        manifest_media_type=MANIFEST_TYPE,
        digest=composed.manifest.digest,
        engine_id=composed.config.digest,
        layers=composed.layers,
        app=AppManifest(config=own.config_bytes, manifest=own.manifest_bytes) if own else None,
    )


def passed(given: AppImage) -> TestedImage:
    return image_with_key(given, "k")


def image_with_key(given: AppImage, key: str) -> TestedImage:
    said = ((BUILD_KEY, key),)
    composed = compose(given, (), annotations=said)
    own = compose_app(given, image=composed, models=(), image_id="id", records={}, key=said)
    return TestedImage(image=image_of(composed, own), verdict=Verdict.PASSED)


def test_a_release_is_found_with_all_that_it_has(registry: Registry, plan: PushPlan) -> None:
    given = app(layer(), layer())
    pushed = push_image(passed(given), plan, registry=registry)
    found = read_released(registry, plan)
    assert found.image is not None
    assert found.image.digest == pushed.digest
    assert found.app is not None
    assert (found.app.config, found.app.image_id) == (given.config, "id")
    assert set(found.blobs()) == {each.diff_id for each in given.layers}
    assert found.made_by("k") == found.image
    assert found.whole_app() == found.app


def test_nothing_was_released(registry: Registry, plan: PushPlan) -> None:
    assert read_released(registry, plan) == Released()
    assert read_released(registry, replace(plan, managed=None)) == Released()


def test_a_new_branch_starts_from_the_default_one(registry: Registry, plan: PushPlan) -> None:
    main = push_image(passed(app(layer())), plan, registry=registry)
    branch = replace(plan, managed=BRANCH)
    found = read_released(registry, branch)
    assert found.image is not None
    assert found.image.digest == main.digest
    assert found.app is not None
    assert found.app.tag == MAIN.app
    own = push_image(passed(app(layer())), branch, registry=registry)
    found = read_released(registry, branch)
    assert found.image is not None
    assert found.image.digest == own.digest
    assert found.app is not None
    assert found.app.tag == BRANCH.app


def test_the_default_branchs_release_is_seen_beside_ones_own(
    registry: Registry, plan: PushPlan
) -> None:
    """What is merged from there is no new content."""
    given = app(layer())
    main = push_image(passed(given), plan, registry=registry)
    branch = replace(plan, managed=BRANCH)
    push_image(image_with_key(app(layer()), "mine"), branch, registry=registry)
    found = read_released(registry, branch)
    assert found.default is not None
    assert found.default.digest == main.digest
    assert found.made_by("k") == found.default
    again = compose(given, (), annotations=(("commit", "another"),))
    assert keep_released(again, found.images).manifest.digest == main.digest


def put(registry: Registry, plan: PushPlan, tag: str, config: bytes, **changed: object) -> None:
    """A manifest of somebody else's under our tag."""
    registry.upload_blob(plan.repository, Bytes(config), lambda count: None)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": Bytes(config).digest,
            "size": len(config),
        },
        "layers": [],
        **changed,
    }
    data = json.dumps(manifest).encode()
    registry.put_manifest(plan.repository, tag, data, str(manifest["mediaType"]))


def an_index(registry: Registry, plan: PushPlan) -> None:
    for tag in (MAIN.image, MAIN.app):
        data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()
        registry.put_manifest(plan.repository, tag, data, INDEX)


def another_kind_of_artifact(registry: Registry, plan: PushPlan) -> None:
    for tag in (MAIN.image, MAIN.app):
        put(registry, plan, tag, b"{}", annotations={"org.example": "a chart"})


def a_config_that_is_no_json(registry: Registry, plan: PushPlan) -> None:
    for tag in (MAIN.image, MAIN.app):
        put(registry, plan, tag, b"\x00\xff")


def annotations_that_say_nothing(registry: Registry, plan: PushPlan) -> None:
    said = {"modelferry.app.entries": "{", "modelferry.models": "[1]", "modelferry.image": "x"}
    config = json.dumps({"rootfs": {"diff_ids": []}}).encode()
    for tag in (MAIN.image, MAIN.app):
        put(registry, plan, tag, config, annotations=said)


@pytest.mark.parametrize(
    "spoil",
    [
        an_index,
        another_kind_of_artifact,
        a_config_that_is_no_json,
        annotations_that_say_nothing,
    ],
)
def test_what_cannot_be_read_is_as_if_it_were_not_there(
    registry: Registry, plan: PushPlan, spoil: Callable[[Registry, PushPlan], None]
) -> None:
    spoil(registry, plan)
    found = read_released(registry, plan)
    assert found.blobs() == {}
    assert found.whole_app() is None or found.whole_app().layers == ()
    assert found.made_by("k") is None
    assert found.stack is None
    assert found.image or MAIN.image in found.unreadable
    push_image(passed(app(layer())), plan, registry=registry)  # and it is put right again
    assert read_released(registry, plan).made_by("k")


def test_a_registry_that_lost_a_blob_is_not_relied_on(
    registry: Registry, plan: PushPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = app(layer(), layer())
    push_image(passed(given), plan, registry=registry)
    lost = given.layers[0].descriptor.digest
    has_blob = Registry.has_blob

    def forget(self: Registry, repository: str, digest: Digest) -> bool:
        return digest != lost and has_blob(self, repository, digest)

    monkeypatch.setattr(Registry, "has_blob", forget)
    found = read_released(registry, plan)
    assert set(found.blobs()) == {given.layers[1].diff_id}
    assert found.whole_app() is None
    assert found.made_by("k") is None


def test_what_another_repository_has_is_mounted(
    registry: Registry, plan: PushPlan, caplog: pytest.LogCaptureFixture
) -> None:
    """A base image on the same registry, and a model in another app's image."""
    caplog.set_level("INFO")
    base = layer(3 << 20)
    theirs = replace(plan, repository=f"{plan.repository}-base", managed=None)
    push_image(passed(app(base)), theirs, registry=registry)
    others = (
        theirs.name.tagged("v7"),
        theirs.name.tagged("never-pushed"),
        ImageRef.parse("elsewhere.example/app:1"),
    )
    found = read_released(registry, plan, others=others)
    assert found.blobs()[base.diff_id].repository == theirs.repository

    def never(start: int, stop: int) -> bytes:
        raise AssertionError("it is mounted")

    pushed = push_image(
        passed(app(replace(base, read=never), layer())), plan, registry=registry, released=found
    )
    assert pushed.uploaded_bytes < 7000
    assert f"{base.descriptor.digest} 3.0 MiB mounted from {theirs.repository}" in caplog.text
    assert registry.has_blob(plan.repository, base.descriptor.digest)


def test_an_index_is_read_for_our_platform(registry: Registry, plan: PushPlan) -> None:
    base = layer()
    theirs = replace(plan, repository=f"{plan.repository}-base", managed=None)
    pushed = push_image(passed(app(base)), theirs, registry=registry)
    stored = registry.get_manifest(theirs.repository, pushed.digest)
    assert stored is not None
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [
            {
                "mediaType": MANIFEST_TYPE,
                "digest": pushed.digest,
                "size": len(stored.data),
                "platform": {"os": "linux", "architecture": "amd64"},
            }
        ],
    }
    registry.put_manifest(theirs.repository, "many", json.dumps(index).encode(), INDEX)
    others = (theirs.name.tagged("many"),)
    assert set(read_released(registry, plan, others=others, platform="linux/amd64").blobs()) == {
        base.diff_id
    }
    assert read_released(registry, plan, others=others, platform="linux/s390x").blobs() == {}


def test_a_managed_tag_that_is_locked_is_a_warning(
    registry: Registry,
    plan: PushPlan,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    put_manifest = Registry.put_manifest

    def locked(self: Registry, repository: str, reference: str, data: bytes, kind: str) -> Digest:
        if reference == MAIN.app:
            raise RegistryError("HTTP 409 TAG_LOCKED")
        return put_manifest(self, repository, reference, data, kind)

    monkeypatch.setattr(Registry, "put_manifest", locked)
    pushed = push_image(passed(app(layer())), plan, registry=registry)
    assert registry.head_manifest(plan.repository, "v7") == pushed.digest
    assert registry.head_manifest(plan.repository, MAIN.image) == pushed.digest
    assert "will not find this release by the tag mf-main-app: HTTP 409" in caplog.text
    found = read_released(registry, plan)
    assert (found.image is not None, found.app) == (True, None)


def lock(monkeypatch: pytest.MonkeyPatch, *references: str) -> list[str]:
    """As a registry with immutable tags, or a locked manifest; what was written else."""
    put_manifest, written = Registry.put_manifest, list[str]()

    def locked(self: Registry, repository: str, reference: str, data: bytes, kind: str) -> Digest:
        if reference in references:
            raise RegistryError("HTTP 409 TAG_LOCKED")
        written.append(reference)
        return put_manifest(self, repository, reference, data, kind)

    monkeypatch.setattr(Registry, "put_manifest", locked)
    return written


def test_locked_tags_that_are_as_wanted_are_left_alone(
    registry: Registry, plan: PushPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = passed(app(layer()))
    pushed = push_image(image, plan, registry=registry)
    written = lock(monkeypatch, "v7", pushed.digest)
    assert push_image(image, plan, registry=registry).digest == pushed.digest
    released = read_released(registry, plan).made_by("k")
    assert released is not None
    more = replace(plan, tags=("v7", "v8"))
    taken = take_release(released, more, registry=registry, model_version="")
    assert (taken.digest, written) == (pushed.digest, ["v8"])


def test_a_locked_tag_is_named_before_any_other_is_written(
    registry: Registry, plan: PushPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = push_image(passed(app(layer())), plan, registry=registry)
    both = replace(plan, tags=("new", "v7"), managed=None)
    lock(monkeypatch, "v7")
    with pytest.raises(RegistryError, match="TAG_LOCKED") as caught:
        push_image(passed(app(layer())), both, registry=registry)
    assert f"Tag v7 is {first.digest} until now" in caught.value.seen
    assert registry.head_manifest(plan.repository, "new") is None


def test_managed_tags_come_after_the_users(
    registry: Registry, plan: PushPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    put_manifest = Registry.put_manifest

    def note(self: Registry, repository: str, reference: str, data: bytes, kind: str) -> Digest:
        written.append(reference)
        return put_manifest(self, repository, reference, data, kind)

    monkeypatch.setattr(Registry, "put_manifest", note)
    image = passed(app(layer()))
    push_image(image, plan, registry=registry)
    assert written == [image.image.digest, "v7", MAIN.app, MAIN.image]


def test_an_app_that_a_builder_pushed_is_read_whole(registry: Registry, plan: PushPlan) -> None:
    given = app(layer())
    pushed = push_image(passed(given), replace(plan, managed=None), registry=registry)
    _, layers = read_pushed_app(registry, plan.repository, pushed.digest)
    assert [each.diff_id for each in layers] == [given.layers[0].diff_id]
    missing = Digest("sha256:" + "0" * 64)
    with pytest.raises(RegistryError, match="cannot be read") as caught:
        read_pushed_app(registry, plan.repository, missing)
    assert "no such manifest" in caught.value.seen
