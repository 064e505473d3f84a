from __future__ import annotations

import pytest

from modelferry.rollout.watching import advice

QUOTA = 'pods "score-x" is forbidden: exceeded quota: full, requested: pods=1, used: pods=2'
ACCOUNT = 'error looking up service account n/robot: serviceaccount "robot" not found'
NODES = "it fits no node: 0/1 nodes are available: 1"


@pytest.mark.parametrize(
    ("cause", "says"),
    [
        ('container c cannot be created: configmap "nope" not found', "Add the configmap nope"),
        ('container c cannot be created: secret "keys" not found', "Add the secret keys"),
        (
            "container c cannot be created: couldn't find key token in Secret n/keys",
            "Add the key token to the Secret keys",
        ),
        ('a volume cannot be mounted: secret "keys" not found', "Add the secret keys"),
        (f'{NODES} persistentvolumeclaim "data" not found', "Add the persistentvolumeclaim data"),
        (
            f"its pods are refused: {ACCOUNT}",
            "Add the serviceaccount robot",
        ),
        (
            "container c was killed for want of memory (OOMKilled, limit 48Mi) 3 times",
            "Raise resources.limits.memory of container c (it is 48Mi now)",
        ),
        ("container c was killed for want of memory (OOMKilled) once", "requests.memory of cont"),
        (f"its pods are refused: {QUOTA}", "Raise the quota full"),
        ("its pods are refused: failed quota: q: must specify cpu for: c", "Set cpu"),
        ('its pods are refused: admission webhook "w" denied it', "Meet the rule"),
        ('its pods are refused: failed calling webhook "w.x": refused', "admission webhook w.x"),
        (f"{NODES} Insufficient cpu. preemption: 0/1", "Ask for less cpu"),
        (f"{NODES} Insufficient nvidia.com/gpu. preemption", "Ask for less nvidia.com/gpu in"),
        (f"{NODES} node(s) didn't match Pod's node affinity/selector", "Correct nodeSelector"),
        (f"{NODES} node(s) had untolerated taint {{gpu: yes}}", "Add a toleration"),
        (f"{NODES} node(s) were unwell", "Ask for what a node can give"),
        ("somebody else changed its images while it rolled out", "mutatingwebhookconfigurations"),
        ("it was deleted while it rolled out", "Find who deletes it"),
        ("container c crashed (exit 137) 3 times: its postStart hook failed", "lifecycle.postSta"),
        (
            'its pods are refused: it violates PodSecurity "restricted": runAsNonRoot != true',
            "Correct securityContext",
        ),
        (
            'claim data cannot be bound: storageclass.storage.k8s.io "fast" not found',
            "Correct storageClassName of the claim data, or make the StorageClass fast",
        ),
        ("claim data cannot be bound: no storage class is set", "Name a storageClassName"),
        ("claim data is not bound: Waiting for", "the provisioner for claim data"),
        ("container c: the image i cannot be pulled: 401 Unauthorized", "`imagepullsecrets`"),
        ("container c: the image i cannot be pulled: not found", "is in the registry"),
        ("container c: the image i cannot be pulled: i/o timeout", "reach this registry"),
        ("container c crashed (exit 1) 3 times: KeyError", "Correct the program of container c"),
        ("it failed: container c ended with exit code 1 (Error)", "the program of container c"),
        ("container c ended (exit 0) 3 times, though it should", "belongs into a Job"),
        ("container c cannot be started: no such file", "Correct `command` of container c"),
        ("container c failed its liveness probe and is killed", "Correct the livenessProbe of"),
        ("not ready after 12 s: Readiness probe failed: 503", "Correct the readinessProbe"),
        ("no progress within progressDeadlineSeconds", "raise progressDeadlineSeconds"),
        ("the job failed: BackoffLimitExceeded", "Correct the program of the Job"),
        ("the job failed: DeadlineExceeded: too long", "Raise activeDeadlineSeconds"),
    ],
)
def test_each_class_of_failure_has_its_act(cause: str, says: str) -> None:
    assert says in advice.of([("deployment/score", cause)], timed_out=False)


def test_what_is_not_known_is_left_to_the_evidence() -> None:
    strange = [("deployment/score", "it is strange")]
    assert advice.of(strange, timed_out=False).startswith("Mend deployment/score")
    assert "raise `timeout`" in advice.of(strange, timed_out=True)


def test_the_same_act_stands_once() -> None:
    cause = 'container c cannot be created: secret "keys" not found'
    found = advice.of([("deployment/a", cause), ("deployment/b", cause)], timed_out=False)
    assert found.count("\n") == 0
