"""Verdicts told from a list of objects and moments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from modelferry.cluster.resources import EVENTS, PODS, REPLICA_SETS, Resource
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.watching.board import Board
from modelferry.rollout.watching.findings import Applied
from modelferry.rollout.watching.settling import SETTLE_S
from modelferry.rollout.watching.states import Done, Failed, Waiting

IMAGE = "reg/app@sha256:" + "a" * 64
DEPLOYMENTS = Resource(
    api_version="apps/v1", kind="Deployment", plural="deployments", namespaced=True
)
STATEFUL_SETS = replace(DEPLOYMENTS, kind="StatefulSet", plural="statefulsets")
REVISION = {"deployment.kubernetes.io/revision": "2"}


def deployment(available: int, *, uid: str = "d") -> dict:
    counts = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": available}
    metadata = {"name": "score", "namespace": "n", "uid": uid, "annotations": REVISION}
    template = {"spec": {"containers": [{"name": "main", "image": IMAGE}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"replicas": 1, "template": template},
        "status": {"observedGeneration": 0, **counts},
    }


def replica_set(revision: str, uid: str) -> dict:
    owner = {"uid": "d", "controller": True}
    annotations = {"deployment.kubernetes.io/revision": revision}
    metadata = {"name": f"score-{uid}", "uid": uid, "annotations": annotations}
    return {"metadata": metadata | {"ownerReferences": [owner]}}


def pod(owner: str, state: dict[str, Any], *, probe: bool = True, **more: Any) -> dict:
    container = {"name": "main", "image": IMAGE} | ({"readinessProbe": {}} if probe else {})
    status = {"name": "main", "imageID": IMAGE, "containerID": "c1", "state": state, **more}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"score-{owner}",
            "namespace": "n",
            "uid": f"pod-{owner}",
            "ownerReferences": [{"uid": owner, "controller": True}],
        },
        "spec": {"containers": [container], "nodeName": "n1"},
        "status": {"phase": "Pending", "containerStatuses": [status]},
    }


RUNNING = {"running": {"startedAt": "1970-01-01T00:16:40Z"}}  # 1000 s
CRASHED = {"waiting": {"reason": "CrashLoopBackOff"}}
NO_CONFIG = {"waiting": {"reason": "CreateContainerConfigError", "message": "no x"}}


@pytest.fixture
def target() -> Applied:
    manifest = ManifestObject(body=deployment(0), file="a.yaml", line=1, lines={})
    placed = Placed(manifest=manifest, resource=DEPLOYMENTS, namespace="n")
    return Applied(placed=placed, body=deployment(0))


@pytest.fixture
def board(target: Applied) -> Board:
    made = Board(targets=[target], epoch_s=0)
    made.replace(DEPLOYMENTS, "n", [deployment(0)])
    made.replace(REPLICA_SETS, "n", [replica_set("1", "old"), replica_set("2", "new")])
    return made


def final(board: Board, now: float) -> list[str]:
    return [finding.cause for finding in board.findings(now) if finding.is_final]


def test_only_pods_of_the_new_template_count(board: Board, target: Applied) -> None:
    crashed = {"restartCount": 5, "lastState": {"terminated": {"exitCode": 1}}}
    board.replace(PODS, "n", [pod("old", CRASHED, **crashed), pod("new", RUNNING)])
    assert board.findings(0) == ()
    board.put(PODS, "n", "MODIFIED", pod("new", CRASHED, **crashed))
    assert final(board, 0) == [
        "pod score-new (deployment/score): container main crashed (exit 1) 6 times"
    ]
    assert [p["metadata"]["name"] for p in board.pods(target)] == ["score-new"]


def test_a_grace_runs_from_when_the_trouble_was_first_seen(board: Board) -> None:
    board.replace(PODS, "n", [pod("new", NO_CONFIG)])
    assert final(board, 100) == []
    assert final(board, 116) == []
    assert len(final(board, 117)) == 1


def test_a_trouble_that_heals_begins_its_grace_anew(board: Board) -> None:
    board.replace(PODS, "n", [pod("new", NO_CONFIG)])
    board.findings(100)
    board.put(PODS, "n", "MODIFIED", pod("new", RUNNING))
    assert board.findings(105) == ()
    board.put(PODS, "n", "MODIFIED", pod("new", NO_CONFIG))
    assert final(board, 118) == []
    assert len(final(board, 136)) == 1


def stateful() -> Board:
    body = deployment(0) | {"kind": "StatefulSet"}
    manifest = ManifestObject(body=body, file="a.yaml", line=1, lines={})
    placed = Placed(manifest=manifest, resource=STATEFUL_SETS, namespace="n")
    board = Board(targets=[Applied(placed=placed, body=body)])
    board.replace(STATEFUL_SETS, "n", [body])
    return board


def test_a_listed_event_is_old_and_a_later_success_heals() -> None:
    board = stateful()
    about = {"uid": "d", "kind": "StatefulSet"}
    failed = {"reason": "FailedCreate", "message": "quota", "involvedObject": about}
    failed["metadata"] = {"uid": "e1", "resourceVersion": "1"}
    board.replace(EVENTS, "n", [failed])
    board.replace(EVENTS, "n", [failed])
    assert board.findings(0) == ()
    again = {**failed, "metadata": {"uid": "e1", "resourceVersion": "2"}}
    board.replace(EVENTS, "n", [again])  # it happened while the watch was broken
    board.findings(0)
    assert final(board, 10) == ["statefulset/score: its pods are refused: quota"]
    board.put(EVENTS, "n", "ADDED", {**failed, "reason": "SuccessfulCreate"})
    assert board.findings(11) == ()


def test_a_volume_that_came_late_is_no_trouble_of_the_pull_after_it(board: Board) -> None:
    """A new namespace gets its kube-root-ca.crt a moment after its first pods."""
    board.replace(PODS, "n", [pod("new", {"waiting": {"reason": "ContainerCreating"}})])
    about = {"uid": "pod-new", "kind": "Pod"}
    late = {"metadata": {"uid": "e"}, "involvedObject": about, "reason": "FailedMount"}
    late["message"] = 'configmap "kube-root-ca.crt" not found'
    board.put(EVENTS, "n", "ADDED", late)
    assert [finding.is_final for finding in board.findings(0)] == [False]
    board.put(EVENTS, "n", "ADDED", late | {"reason": "Pulling", "metadata": {"uid": "p"}})
    assert board.findings(600) == ()


def event(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    about = {"uid": "pod-new", "kind": "Pod", "fieldPath": "spec.containers{main}"}
    metadata = {"uid": f"e-{reason}", "resourceVersion": str(more)}
    return {
        "reason": reason,
        "message": message,
        "involvedObject": about,
        "metadata": metadata,
    } | more


def probed(liveness: dict[str, Any]) -> dict[str, Any]:
    body = pod("new", RUNNING)
    container = body["spec"]["containers"][0]
    container |= {"readinessProbe": {"httpGet": {"path": "/ready", "port": "web"}}}
    container |= {"ports": [{"name": "web", "containerPort": 80}], "livenessProbe": liveness}
    return body


@pytest.mark.parametrize(
    ("liveness", "waits_s"),
    [
        ({"httpGet": {"path": "/alive", "port": 80}}, 0),
        ({"tcpSocket": {"port": "web"}, "periodSeconds": 60}, 0),
        ({"httpGet": {"path": "/ready", "port": 81}}, 10 + 3),
        ({"exec": {"command": ["true"]}, "periodSeconds": 2, "initialDelaySeconds": 5}, 7 + 3),
        ({"grpc": {"port": 9}, "periodSeconds": 600}, 30 + 3),
    ],
)
def test_a_liveness_probe_that_asks_elsewhere_must_have_had_its_turn(
    board: Board, target: Applied, liveness: dict[str, Any], waits_s: int
) -> None:
    board.put(DEPLOYMENTS, "n", "MODIFIED", deployment(1))
    board.replace(PODS, "n", [probed(liveness)])
    assert isinstance(board.state(target, 1000), Waiting if waits_s else Done)
    assert waits_s == 0 or isinstance(board.state(target, 999 + waits_s), Waiting)
    assert isinstance(board.state(target, 1000 + waits_s), Done)


def test_what_a_failed_liveness_probe_says_next_is_waited_for(
    board: Board, target: Applied
) -> None:
    """A program may be ready where its liveness probe asks in the wrong place."""
    failed = event("Unhealthy", "Liveness probe failed: 404")
    board.put(DEPLOYMENTS, "n", "MODIFIED", deployment(1))
    board.replace(PODS, "n", [probed({"httpGet": {"path": "/alive", "port": 80}})])
    before = failed | {"lastTimestamp": "1970-01-01T00:16:30Z"}
    board.put(EVENTS, "n", "ADDED", before)
    assert isinstance(board.state(target, 1000), Done), "that was the run before"
    board.put(EVENTS, "n", "MODIFIED", failed | {"lastTimestamp": "1970-01-01T00:16:41Z"})
    assert isinstance(board.state(target, 1001), Waiting)
    board.put(EVENTS, "n", "MODIFIED", failed | {"lastTimestamp": "1970-01-01T00:16:51Z"})
    assert isinstance(board.state(target, 1011), Waiting)
    assert isinstance(board.state(target, 1023), Waiting)
    assert isinstance(board.state(target, 1024), Done)


def test_a_container_that_its_hook_had_killed_is_said_so(board: Board) -> None:
    crashed = {"restartCount": 3, "lastState": {"terminated": {"exitCode": 137}}}
    board.replace(PODS, "n", [pod("new", CRASHED, **crashed)])
    board.put(EVENTS, "n", "ADDED", event("FailedPostStartHook", "PostStartHook failed"))
    [said] = final(board, 0)
    assert said.endswith("crashed (exit 137) 4 times: its postStart hook failed")


def test_a_node_on_its_way_is_waited_for(board: Board) -> None:
    lost = pod("new", {})
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    lost["status"] = {"phase": "Pending", "conditions": [condition]}
    board.replace(PODS, "n", [lost])
    board.findings(0)
    assert len(final(board, 30)) == 1
    about = {"uid": "pod-new", "kind": "Pod"}
    event = {"reason": "TriggeredScaleUp", "involvedObject": about, "metadata": {"uid": "e"}}
    board.put(EVENTS, "n", "ADDED", event)
    assert final(board, 3000) == []


def test_without_a_probe_a_container_is_watched_for_a_while(board: Board, target: Applied) -> None:
    board.put(DEPLOYMENTS, "n", "MODIFIED", deployment(1))
    board.replace(PODS, "n", [pod("new", RUNNING, probe=False)])
    assert isinstance(board.state(target, 1000), Waiting)
    assert isinstance(board.state(target, 1009), Waiting)
    assert isinstance(board.state(target, 1010), Done)


def test_a_restart_begins_that_while_anew(board: Board, target: Applied) -> None:
    board.put(DEPLOYMENTS, "n", "MODIFIED", deployment(1))
    board.replace(PODS, "n", [pod("new", RUNNING, probe=False)])
    board.state(target, 1000)
    again = pod("new", RUNNING, probe=False, containerID="c2")
    board.put(PODS, "n", "MODIFIED", again)
    assert isinstance(board.state(target, 1010), Waiting)
    assert isinstance(board.state(target, 1020), Done)


def test_with_a_probe_or_checks_or_long_running_there_is_no_such_while(target: Applied) -> None:
    for probe, checked, now in ((True, (), 1000), (False, (target.key,), 1000), (False, (), 1100)):
        board = Board(targets=[target], checked=checked)
        board.replace(DEPLOYMENTS, "n", [deployment(1)])
        board.replace(REPLICA_SETS, "n", [replica_set("2", "new")])
        board.replace(PODS, "n", [pod("new", RUNNING, probe=probe)])
        assert isinstance(board.state(target, now), Done)


def test_a_check_does_not_say_what_a_liveness_probe_will(target: Applied) -> None:
    board = Board(targets=[target], checked=[target.key])
    board.replace(DEPLOYMENTS, "n", [deployment(1)])
    board.replace(REPLICA_SETS, "n", [replica_set("2", "new")])
    made = pod("new", RUNNING, probe=False)
    made["spec"]["containers"][0]["livenessProbe"] = {}
    board.replace(PODS, "n", [made])
    assert isinstance(board.state(target, 1000), Waiting)
    assert isinstance(board.state(target, 1010), Done)


def test_a_tag_that_means_another_image_on_the_node(target: Applied) -> None:
    board = Board(
        targets=[target],
        by_tag={IMAGE: "sha256:new"},
        old_pods=frozenset(["pod-old"]),
        checked=[target.key],
    )
    board.replace(DEPLOYMENTS, "n", [deployment(1)])
    board.replace(REPLICA_SETS, "n", [replica_set("2", "new"), replica_set("2", "old")])
    board.replace(PODS, "n", [pod("old", RUNNING)])
    pulled = {
        "reason": "Pulled",
        "message": f'Successfully pulled image "{IMAGE}" in 50ms',
        "source": {"host": "n1"},
        "metadata": {"uid": "e"},
    }
    old = {"uid": "pod-old", "kind": "Pod"}
    board.replace(EVENTS, "n", [{**pulled, "involvedObject": old}])
    assert isinstance(board.state(target, 0), Waiting)  # it pulled what the tag was before
    assert final(board, 0) == []
    assert "runs sha256:" in final(board, 5)[0]
    board.replace(PODS, "n", [pod("new", RUNNING)])
    assert isinstance(board.state(target, 5), Waiting)
    board.put(EVENTS, "n", "ADDED", {**pulled, "involvedObject": {"uid": "pod-new"}})
    assert isinstance(board.state(target, 5), Done)


def test_deleted_is_failed_and_other_namespaces_are_not_mixed_up(
    board: Board, target: Applied
) -> None:
    board.put(DEPLOYMENTS, "other", "DELETED", deployment(0))
    assert isinstance(board.state(target, 0), Waiting)
    board.put(DEPLOYMENTS, "n", "DELETED", deployment(0))
    assert isinstance(board.state(target, 0), Failed)
    assert final(board, 0) == ["deployment/score: it was deleted while it rolled out"]


def broken_release(reason: str) -> dict:
    """As it stood before an apply that changed something else."""
    body = deployment(0)
    body["metadata"]["generation"] = 4
    body["status"]["observedGeneration"] = 4
    condition = {"type": "Progressing", "status": "False", "reason": reason}
    return body | {"status": body["status"] | {"conditions": [condition]}}


def test_an_old_trouble_of_what_was_not_changed_gets_a_back_off_to_heal() -> None:
    body = broken_release("ProgressDeadlineExceeded")
    manifest = ManifestObject(body=body, file="a.yaml", line=1, lines={})
    placed = Placed(manifest=manifest, resource=DEPLOYMENTS, namespace="n")
    board = Board(targets=[Applied(placed=placed, body=body)])
    assert board.findings(0) == ()
    board.replace(DEPLOYMENTS, "n", [body])
    board.replace(REPLICA_SETS, "n", [replica_set("2", "new")])
    crashed = {"restartCount": 5, "lastState": {"terminated": {"exitCode": 1}}}
    board.replace(PODS, "n", [pod("new", CRASHED, **crashed)])
    assert final(board, 0) == []
    assert final(board, 300) == []
    assert len(final(board, 331)) == 1
    board.put(PODS, "n", "MODIFIED", pod("new", CRASHED, **crashed | {"restartCount": 6}))
    assert "7 times" in final(board, 332)[0]


def test_pods_of_the_template_before_are_not_judged_in_its_place(target: Applied) -> None:
    """The fix of a broken release: the controller has not seen it yet."""
    fixed = deployment(0)
    fixed["metadata"]["generation"] = 1
    fixed["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "1"}
    board = Board(targets=[target])
    board.replace(DEPLOYMENTS, "n", [fixed])
    board.replace(REPLICA_SETS, "n", [replica_set("1", "old")])
    crashed = {"restartCount": 5, "lastState": {"terminated": {"exitCode": 1}}}
    board.replace(PODS, "n", [pod("old", CRASHED, **crashed)])
    assert board.findings(0) == ()


def test_a_finished_job_may_clear_itself_away_while_nobody_looks(target: Applied) -> None:
    jobs = Resource(api_version="batch/v1", kind="Job", plural="jobs", namespaced=True)
    body = deployment(0) | {"apiVersion": "batch/v1", "kind": "Job"}
    done = body | {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    placed = replace(target.placed, resource=jobs)
    board = Board(targets=[Applied(placed=placed, body=body)])
    board.replace(jobs, "n", [done])
    board.replace(jobs, "n", [])
    assert isinstance(board.state(board.targets[0], 0), Done)


def test_what_has_not_been_listed_is_not_gone(target: Applied) -> None:
    assert isinstance(Board(targets=[target]).state(target, 0), Waiting)


def test_refused_pulls_are_counted_each_once(board: Board) -> None:
    asked = {"waiting": {"reason": "ErrImagePull", "message": "i/o timeout"}}
    backing_off = {"waiting": {"reason": "ImagePullBackOff", "message": "i/o timeout"}}
    for turn in (asked, asked, backing_off, backing_off, asked, backing_off):
        board.put(PODS, "n", "MODIFIED", pod("new", turn))
        assert final(board, 1000) == []
    board.put(PODS, "n", "MODIFIED", pod("new", asked))
    assert "cannot be pulled" in final(board, 1000)[0]


def test_only_what_was_heard_of_is_judged_again(board: Board, target: Applied) -> None:
    board.replace(PODS, "n", [])
    before = board.judge(0)[0][1]
    assert board.judge(1)[0][1] is before
    board.put(PODS, "n", "ADDED", pod("elsewhere", RUNNING))
    assert board.judge(2)[0][1] is before
    board.put(PODS, "n", "ADDED", pod("new", NO_CONFIG))
    assert board.judge(3)[0][1] is not before
    assert final(board, 19) == []
    assert len(final(board, 20)) == 1  # nothing more was heard: the time was up


def test_two_groups_may_call_a_kind_the_same(board: Board, target: Applied) -> None:
    other = replace(DEPLOYMENTS, api_version="x.org/v1")
    body = deployment(0) | {"apiVersion": "x.org/v1"}
    manifest = replace(target.placed.manifest, body=body)
    placed = replace(target.placed, manifest=manifest, resource=other)
    board.targets = [target, Applied(placed=placed, body=body)]
    board.replace(other, "n", [body])
    assert isinstance(board.state(target, 0), Waiting)
    assert isinstance(board.state(board.targets[1], SETTLE_S), Done)


@pytest.mark.parametrize(("said", "expected"), [("4", True), ("3", False), ("x", False)])
def test_a_generation_that_is_text_tells_what_ran_before(
    target: Applied, said: str, *, expected: bool
) -> None:
    body = deployment(1)
    body["metadata"]["generation"] = 4
    body["status"]["observedGeneration"] = said
    assert replace(target, body=body).ran_before is expected


def test_an_evicted_pod_that_was_replaced_holds_nothing_up(board: Board, target: Applied) -> None:
    evicted = pod("new", {"terminated": {"exitCode": 137}}, probe=False, containerID="c0")
    evicted["metadata"] |= {"name": "evicted", "uid": "evicted"}
    evicted["status"] |= {"phase": "Failed", "reason": "Evicted"}
    running = pod("new", RUNNING, probe=False)
    running["status"]["phase"] = "Running"
    board.put(DEPLOYMENTS, "n", "MODIFIED", deployment(1))
    board.replace(PODS, "n", [evicted, running])
    assert isinstance(board.state(target, 1000), Waiting)
    assert isinstance(board.state(target, 1010), Done)


CERTIFICATES = Resource(
    api_version="example.org/v1", kind="Certificate", plural="certificates", namespaced=True
)


def killing(second: int, count: int = 1, probe: str = "liveness") -> dict:
    return {
        "metadata": {"uid": "k", "resourceVersion": str(count)},
        "reason": "Killing",
        "message": f"Container main failed {probe} probe, will be restarted",
        "count": count,
        "lastTimestamp": f"1970-01-01T00:16:{second}Z",
        "involvedObject": {"kind": "Pod", "uid": "pod-new"},
    }


def run_of(second: int) -> dict[str, Any]:
    return {"startedAt": f"1970-01-01T00:16:{second}Z"}


@pytest.mark.parametrize("probe", ["liveness", "startup"])
@pytest.mark.parametrize("is_checked", [False, True])
def test_a_container_that_its_probe_condemned_is_not_done(
    board: Board, target: Applied, probe: str, is_checked: bool
) -> None:
    """Until its grace period is over, Kubernetes calls it running and ready."""
    board = replace(board, checked=[target.key] if is_checked else [], epoch_s=1000)
    board.replace(DEPLOYMENTS, "n", [deployment(1)])
    board.replace(PODS, "n", [pod("new", {"running": run_of(40)})])
    board.replace(EVENTS, "n", [killing(43, probe=probe)])
    assert isinstance(board.state(target, 30), Waiting)
    (finding,) = board.findings(600)
    assert f"failed its {probe} probe" in finding.cause
    assert not finding.is_final
    board.put(EVENTS, "n", "MODIFIED", killing(49, count=2, probe=probe))
    (finding,) = board.findings(601)
    assert finding.is_final
    assert "for the second time" in finding.cause


def test_what_a_probe_condemned_once_is_to_last_longer_the_next_time(
    board: Board, target: Applied
) -> None:
    board = replace(board, epoch_s=1000)
    board.replace(DEPLOYMENTS, "n", [deployment(1)])
    dead = {"exitCode": 137, **run_of(10)}
    again = pod("new", {"running": run_of(45)}, lastState={"terminated": dead}, restartCount=1)
    board.replace(PODS, "n", [again])
    board.replace(EVENTS, "n", [killing(40)])  # after 30 s
    assert isinstance(board.state(target, 5), Waiting)
    assert isinstance(board.state(target, 5 + 30 + SETTLE_S - 1), Waiting)
    assert not board.findings(40)
    assert isinstance(board.state(target, 5 + 30 + SETTLE_S), Done)


def test_a_kill_after_a_long_run_holds_nothing_back(board: Board, target: Applied) -> None:
    """A pod that nobody touched, and that was restarted under load a while ago."""
    board = replace(board, epoch_s=1000)
    board.replace(DEPLOYMENTS, "n", [deployment(1)])
    dead = {"exitCode": 137, "startedAt": "1970-01-01T00:01:00Z"}
    again = pod("new", {"running": run_of(45)}, lastState={"terminated": dead}, restartCount=1)
    board.replace(PODS, "n", [again])
    board.replace(EVENTS, "n", [killing(40)])
    assert isinstance(board.state(target, 15), Done)


def certificate(**status: Any) -> dict:
    return {
        "apiVersion": "example.org/v1",
        "kind": "Certificate",
        "metadata": {"name": "tls", "namespace": "n", "uid": "c", "generation": 2},
        "spec": {"for": "score"},
        **({"status": status} if status else {}),
    }


def ready(status: str, **more: Any) -> dict[str, Any]:
    return {"conditions": [{"type": "Ready", "status": status}], **more}


def with_controller(applied: dict, *, is_changed: bool = True) -> Board:
    manifest = ManifestObject(body=applied, file="a.yaml", line=1, lines={})
    placed = Placed(manifest=manifest, resource=CERTIFICATES, namespace="n")
    return Board(targets=[Applied(placed=placed, body=applied, is_changed=is_changed)])


@pytest.mark.parametrize(
    ("before", "since", "done_at"),
    [
        (certificate(), certificate(), 10),  # nobody minds it
        (certificate(), certificate(phase="New"), 10),
        (certificate(), certificate(**ready("True")), 0),
        (certificate(**ready("True")), certificate(**ready("True")), 10),  # of before?
        (certificate(**ready("True", at="1")), certificate(**ready("True", at="2")), 0),
        (
            certificate(**ready("True", observedGeneration=2)),
            certificate(**ready("True", observedGeneration="2")),
            0,
        ),
    ],
)
def test_what_has_a_controller_of_its_own_is_not_done_before_that_spoke(
    before: dict, since: dict, done_at: float
) -> None:
    board = with_controller(before)
    board.replace(CERTIFICATES, "n", [since])
    target = board.targets[0]
    moments = [moment for moment in (0, 9, 10) if isinstance(board.state(target, moment), Done)]
    assert moments[0] == done_at
    unchanged = with_controller(before, is_changed=False)
    unchanged.replace(CERTIFICATES, "n", [before])
    assert isinstance(unchanged.state(unchanged.targets[0], 0), Done)


@pytest.mark.parametrize(
    "said", [ready("False"), ready("Unknown"), ready("True", observedGeneration="1")]
)
def test_no_settling_ends_the_wait_for_a_condition(said: dict[str, Any]) -> None:
    board = with_controller(certificate())
    board.replace(CERTIFICATES, "n", [certificate(**said)])
    assert all(isinstance(board.state(board.targets[0], at), Waiting) for at in (0, 60))
