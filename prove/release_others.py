"""What a failed release must not take: others' objects, another release, a moved tag's image."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

from modelferry.cluster.resources import PODS
from modelferry.registry.client import Registry
from modelferry.values import Digest, ImageRef, digest_of
from prove import kube_workloads as workloads
from prove import kube_yard
from prove.blob import Bytes
from prove.kube_yard import Body
from prove.proof import Outcome, Play, Proof, red, wrong
from prove.release_yard import CONFIG_MAPS, Ground, ground, release

_EXTRA = "extra"


def _config(name: str, said: str) -> Body:
    return workloads.of("v1", "ConfigMap", name, data={"said": said})


def _made_by_somebody(found: Ground) -> None:
    found.yard.cluster._transport.json(  # noqa: SLF001
        "POST",
        CONFIG_MAPS.path(found.namespace),
        query=[("fieldManager", "kubectl-create")],
        body=_config(_EXTRA, "somebody"),
    )


@contextmanager
def _adopted(env: Mapping[str, str]) -> Iterator[Play]:
    """A run is killed, before or after it made an object; somebody makes the object where it is not
    there, and the next run fails: what the killed run made goes, what somebody made stays."""

    def play(number: int) -> Outcome:
        with ground(env) as found:
            first = found.deploy(release("good"), "100")
            if first.status:
                return wrong(f"the first release failed: {first.what}")
            bodies = [*release("killed"), _config(_EXTRA, "somebody")]
            run = found.start(bodies, "101", die="write", die_at=2 + number % 5)
            if (answer := run.answer()) is not None:
                return wrong(f"it was not killed: {answer}")
            is_theirs = found.data(_EXTRA) is None
            if is_theirs:
                _made_by_somebody(found)
            bodies = [*release("bad", workloads.CRASH), _config(_EXTRA, "somebody")]
            last = found.deploy(bodies, "102")
            told = f"made by {'somebody' if is_theirs else 'the killed run'}; {last}"
            if last.status != 8 or not last.rolled_back:
                return wrong(f"not back: {told}")
            if (found.data(_EXTRA) is not None) is not is_theirs:
                return wrong(f"{found.data(_EXTRA)} is there now: {told}")
            return red(told)

    yield play


@contextmanager
def _overlapping(env: Mapping[str, str]) -> Iterator[Play]:
    """Two releases with one ConfigMap in both sets: the second may want it as the first does, and
    neither change it nor take it back."""

    def play(_: int) -> Outcome:
        with ground(env) as found:

            def deploy(name: str, run: str, said: str, script: str = workloads.READY):
                bodies = [*release(run, script, name=name), _config(_EXTRA, said)]
                return found.deploy(bodies, run, release=name)

            good = [deploy("one", "100", "a"), deploy("two", "50", "a"), deploy("one", "101", "b")]
            if any(answer.status for answer in good):
                return wrong(f"they stood in each other's way: {good}")
            other = deploy("two", "51", "c")
            if other.status != 8 or f"release {found.namespace}/one" not in other.what:
                return wrong(f"it was not told whose it is: {other}")
            bad = deploy("two", "52", "b", workloads.CRASH)
            if bad.status != 8 or not bad.rolled_back:
                return wrong(f"not back: {bad}")
            if found.data(_EXTRA) != {"said": "b"}:
                return wrong(f"{found.data(_EXTRA)} after {bad}")
            return red()

    yield play


@contextmanager
def _moved_tag(env: Mapping[str, str]) -> Iterator[Play]:
    """Deployed by a tag, which the next release moves and then fails: what comes back is what ran,
    not what the tag means by then."""

    def play(number: int) -> Outcome:
        with ground(env) as found:
            registry = kube_yard.registry(env)
            name = ImageRef.parse(found.yard.image)
            tag = f"t{uuid4().hex[:8]}"
            old, new = (_variant(registry, name, tag) for _ in range(2))
            registry.put_manifest(name.repository, tag, *old[1:])
            by_tag = {"deploy_by": "tag", "tags": (tag,)}
            first = found.deploy(release("good"), "100", image=str(name.pinned(old[0])), **by_tag)
            if first.status:
                return wrong(f"the first release failed: {first.what}")
            registry.put_manifest(name.repository, tag, *new[1:])
            how = by_tag if number % 2 else {"tags": (tag,)}
            bodies = release("bad", workloads.CRASH)
            bad = found.deploy(bodies, "101", image=str(name.pinned(new[0])), **how)
            if bad.status != 8 or not bad.rolled_back:
                return wrong(f"not back: {bad}")
            if (ran := _ran(found)) != {old[0]}:
                return wrong(f"{ran} runs, not {old[0]}: {bad}")
            return red()

    yield play


def _ran(found: Ground) -> set[str]:
    pods, _ = found.yard.cluster.list(PODS, found.namespace)
    return {
        pod["status"]["containerStatuses"][0]["imageID"].rpartition("@")[2]
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
    }


def _variant(registry: Registry, image: ImageRef, tag: str) -> tuple[Digest, bytes, str]:
    """The same with another config: nodes take two manifests of one config for one image."""
    found = registry.get_manifest(image.repository, str(image.digest))
    if found is None:
        raise AssertionError(f"{image} is not there")
    manifest = json.loads(found.data)
    said = json.loads(registry.read_blob(image.repository, manifest["config"]["digest"]))
    said["config"]["Labels"] = {"variant": uuid4().hex, "of": tag}
    config = Bytes(json.dumps(said).encode())
    registry.upload_blob(image.repository, config, lambda _: None)
    manifest["config"] |= {"digest": config.digest, "size": config.size_bytes}
    data = json.dumps(manifest).encode()
    digest = digest_of(data)
    registry.put_manifest(image.repository, digest, data, found.media_type)
    return digest, data, found.media_type


PROOFS = (
    Proof(name="releases.adopted-after-kill", open=_adopted, rounds=10),
    Proof(name="releases.overlapping", open=_overlapping, rounds=10),
    Proof(name="releases.moved-tag", open=_moved_tag, rounds=10),
)
