"""Deploy: manifests and a pushed image → objects that run it, or the reason why they do not.

`prepare` is the part that only asks; preflight calls it before anything is built.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from modelferry.artifacts import PushedImage, Rollout, RolloutState
from modelferry.cluster import connect
from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import PODS
from modelferry.cluster.transport import Refused
from modelferry.errors import Fault, InputError, RollbackError, RolloutFailed
from modelferry.last_release.tags import meaning
from modelferry.plan.cluster import BUILT_IN_VARIABLES
from modelferry.plan.spec import DeployPlan, RunContext
from modelferry.rollout import apply
from modelferry.rollout.changes import diff, dry_run
from modelferry.rollout.changes.decide import Change, plain
from modelferry.rollout.changes.marks import marked
from modelferry.rollout.changes.place import Placement, place
from modelferry.rollout.changes.refusals import KEEPS_PODS
from modelferry.rollout.changes.unread import unread
from modelferry.rollout.manifests import images
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.manifests.load import load as load_manifests
from modelferry.rollout.manifests.variables import near_misses
from modelferry.rollout.objects import podspec
from modelferry.rollout.release import history, rollback, turn, undo
from modelferry.rollout.release.at_work import look
from modelferry.rollout.release.history import Record
from modelferry.rollout.release.left_behind import left_behind
from modelferry.rollout.release.rollback import Before
from modelferry.rollout.release.turn import Turn
from modelferry.rollout.spec import DeploySpec
from modelferry.rollout.watching.board import Board
from modelferry.rollout.watching.findings import Applied
from modelferry.rollout.watching.readiness import watched
from modelferry.stages.verify import asks_pods, chosen, require, see_through, told
from modelferry.values import Digest, ImageRef

log = logging.getLogger("modelferry.deploy")

_UNKNOWN_DIGEST = Digest("sha256:" + "0" * 64)  # stands for the image that is not built yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The cluster that answered, and the namespace for objects that name none."""

    cluster: Cluster
    namespace: str
    planned: tuple[str, ...] = ()  # what an apply would do, as far as it is known before the build
    diff: str = ""  # the same, field by field, without secret values


@dataclass(frozen=True, slots=True, kw_only=True)
class _Release:
    """The image as the manifests get it, and the objects with it in place."""

    reference: str
    digest: Digest
    objects: tuple[ManifestObject, ...]
    table: tuple[images.Replacement, ...]


def prepare(
    plan: DeployPlan, *, built: ImageRef, context: RunContext, model_version: str = ""
) -> Target:
    """Everything that can be refused before the image exists, in the order: the manifests, the
    cluster, our rights, what an apply would do. Writes nothing."""
    digest = built.digest or _UNKNOWN_DIGEST
    image = PushedImage(
        ref=built.pinned(digest),
        digest=digest,
        tags=plan.tags or ("none",),
        model_version=model_version,
    )
    release = _read(plan, image, context)
    names = (*dict(plan.spec.variables), *BUILT_IN_VARIABLES)
    for found in release.objects:
        for written, meant in near_misses(json.dumps(found.body), names):
            log.warning("%s: %s stays as it is: is $%s meant?", found.place, written, meant)
    require(plan.spec, release.objects, release.reference)
    cluster = connect(plan.cluster)
    log.info("cluster: %s, Kubernetes %s", cluster.server, cluster.version())
    target = Target(cluster=cluster, namespace=plan.spec.namespace or cluster.namespace)
    intent = context.intent
    marks = turn.marks(intent, plan.spec.release, target.namespace, release.digest, "")
    objects = [marked(found, marks, release.reference) for found in release.objects]
    placement = place(cluster, objects, target.namespace)
    for warning in cluster.check_apply(
        [(entry.resource, entry.namespace) for entry in placement.objects],
        watched=lambda resource: watched(resource.api_version, resource.kind),
        asked=asks_pods(plan.spec),
        own=turn.own(plan.spec.release, target.namespace),
    ):
        log.warning("%s", warning)
    if not plan.spec.allow_older:
        found = turn.read(cluster, plan.spec.release, target.namespace)
        turn.guard(intent, found or ())
    tolerate = _nothing if built.digest else _judges_images
    planned = _look(target, placement, plan, tolerate=tolerate)
    if not plan.spec.allow_older:
        turn.guard_live(intent, plan.spec.release, target.namespace, planned)
    shown = _unbuilt(diff.render(planned), _UNKNOWN_DIGEST)
    log.info("deploying would change:\n%s", shown)
    return replace(target, planned=tuple(map(str, planned)), diff=shown)


def deploy(
    plan: DeployPlan, pushed: PushedImage, target: Target, *, context: RunContext
) -> Rollout:
    """Raises RolloutError before the first write; after it RolloutFailed, which says whether what
    was there before is back, or RollbackError when it is not; a bug of ours is undone, too."""
    release = _read(plan, pushed, context)
    for row in release.table:
        log.info("image: %s", row)
    spec, intent = plan.spec, context.intent
    with turn.taken(
        target.cluster,
        spec.release,
        target.namespace,
        intent,
        wait_s=spec.timeout_s,
        allow_older=spec.allow_older,
    ) as now:
        deadline = time.monotonic() + spec.timeout_s
        name = (spec.release, target.namespace)
        marks = turn.marks(intent, *name, release.digest, pushed.model_version)
        objects = [marked(found, marks, release.reference) for found in release.objects]
        placement = place(target.cluster, objects, target.namespace)
        planned = _look(target, placement, plan, tolerate=_nothing)
        if not spec.allow_older:
            turn.guard_live(intent, *name, planned)
        shown = diff.render(planned)
        if _unbuilt(shown, pushed.digest) == _unbuilt(target.diff, pushed.digest):
            log.info("what changes is what was shown before")
        else:
            log.info("what changes:\n%s", shown)
        last = history.current(now.records)
        left = left_behind(now.cluster, last, planned, marks["release"])
        notices = told((*unread(planned), *left))
        at_work = look(target.cluster, planned, pushed.ref.name)
        before = rollback.snapshot(planned, now.inherited, at_work)
        now.made |= rollback.made_before(before, planned)
        previous = rollback.previous_image(before, planned, release.reference)
        old_pods = _old_pods(plan, target.cluster, placement)
        now.heed()
        now.begin(_record(release, pushed, now, planned, before, context))
        with (
            _told_with(shown),
            undo.undone(
                spec, now, before, previous, partial(meaning, pushed=pushed, access=plan.registry)
            ),
        ):
            applied = apply.carry_out(now.cluster, planned, deadline=deadline, made=now.made)
            apply.unstick(now.cluster.on(until=deadline), applied)
            board = _board(spec, release, applied, old_pods)
            verified = see_through(
                spec, now, board, release.reference, context=context, deadline=deadline
            )
        now.end(history.SUCCEEDED)
    return Rollout(
        state=RolloutState.SUCCEEDED,
        objects=tuple(entry.label for entry in applied),
        previous_image=previous,
        url=verified.url,
        notices=(*notices, *verified.notices),
        diff=shown,
        release=now.number,
    )


def _unbuilt(shown: str, digest: Digest) -> str:
    """As it reads before the image exists."""
    return shown.replace(digest, "(not built yet)")


@contextmanager
def _told_with(shown: str) -> Iterator[None]:
    """Who reads of a failure wants to see what had been changed."""
    try:
        yield
    except (RolloutFailed, RollbackError) as error:
        error.diff = shown
        raise


def _board(
    spec: DeploySpec, release: _Release, applied: Sequence[Applied], old_pods: frozenset[str]
) -> Board:
    asked = chosen(spec, applied, release.reference)
    return Board(
        targets=applied,
        by_tag={release.reference: release.digest} if spec.deploy_by == "tag" else {},
        old_pods=old_pods,
        checked=[entry.key for entry, _ in asked],
        epoch_s=time.time() - time.monotonic(),
    )


def _record(
    release: _Release,
    pushed: PushedImage,
    now: Turn,
    planned: Sequence[Change],
    before: tuple[Before, ...],
    context: RunContext,
) -> Record:
    return Record(
        number=0,  # the history counts
        verdict=history.PENDING,
        image=release.reference,
        digest=release.digest,
        run=str(now.intent),
        started=turn.now_utc(),
        model_version=pushed.model_version,
        commit=context.commit or "",
        manifests=tuple(change.placed for change in planned),
        created=rollback.created(before),
        before=before,
    )


def _read(plan: DeployPlan, pushed: PushedImage, context: RunContext) -> _Release:
    spec = plan.spec
    written = pushed.ref
    if spec.deploy_by == "tag":
        if not pushed.tags:
            raise InputError(Fault(name="deploy-by", given="tag", allowed="needs `tags`"))
        written = pushed.ref.tagged(pushed.tags[0])
    built_in = {
        "IMAGE": str(written),
        "IMAGE_DIGEST": pushed.digest,
        "ACR_DNS": pushed.ref.registry,
        "Build.BuildId": context.run_id,
        "MODEL_VERSION": pushed.model_version,
    }
    found = load_manifests(
        spec.manifests,
        context.workspace,
        namespace=spec.namespace,
        variables=dict(spec.variables) | built_in,
    )
    replaced, table = images.substitute(found, written, spec.images)
    return _Release(
        reference=str(written),
        digest=pushed.digest,
        objects=tuple(_as_sent(entry, spec) for entry in replaced),
        table=table,
    )


def _as_sent(manifest: ManifestObject, spec: DeploySpec) -> ManifestObject:
    body = podspec.with_pull_secrets(manifest.body, spec.image_pull_secrets)
    return plain(manifest.changed(podspec.with_old_account_name(body)))


def _look(
    target: Target, placement: Placement, plan: DeployPlan, *, tolerate: dry_run.Tolerate
) -> tuple[Change, ...]:
    return dry_run.look(
        target.cluster,
        placement.objects,
        not_there_yet=placement.not_there_yet,
        force=plan.spec.force,
        tolerate=tolerate,
    )


def _nothing(_: Refused) -> str:
    return ""


def _judges_images(refused: Refused) -> str:
    """An admission rule may look the image up; and the new one may be the old one."""
    judges = ("admission webhook", "AdmissionPolicy", KEEPS_PODS)
    return "the image is not there yet" if any(one in refused.message for one in judges) else ""


def _old_pods(plan: DeployPlan, cluster: Cluster, placement: Placement) -> frozenset[str]:
    """Only a tag may mean something else in a pod that was there before."""
    if plan.spec.deploy_by == "digest":
        return frozenset()
    namespaces = {entry.namespace for entry in placement.objects if podspec.pod_spec(entry.body)}
    return frozenset(
        pod["metadata"]["uid"] for name in namespaces for pod in cluster.list(PODS, name)[0]
    )
