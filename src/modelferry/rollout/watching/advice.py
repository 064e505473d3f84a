"""The cause of a failure, as trouble.py and its kin word it → what a person does about it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_MOST = 3  # of several failures


@dataclass(frozen=True, slots=True)
class _Rule:
    cause: str  # a regular expression; its groups stand in `act`
    act: str


# The first that fits is taken.
_RULES = (
    _Rule(
        r"cannot be pulled: .*(?:denied|unauthorized|authorization failed|forbidden)",
        "Let the nodes pull it: name a pull secret in `imagepullsecrets`, or give the"
        " cluster's own identity the right to pull (AcrPull).",
    ),
    _Rule(
        r"cannot be pulled: .*(?:not found|manifest unknown|name unknown)",
        "See that this image is in the registry under this very name and tag; one that is not"
        " built here comes from the manifest.",
    ),
    _Rule(
        r"cannot be pulled: .*(?:x509|HTTP response to HTTPS client)",
        "Let the nodes trust this registry: their container runtime has to know its"
        " certificate, or that it speaks plain HTTP.",
    ),
    _Rule(
        r"cannot be pulled: .*no match for platform",
        "Build for the nodes' architecture: kubectl get nodes --label-columns kubernetes.io/arch.",
    ),
    _Rule(
        r"cannot be pulled",
        "See that the nodes reach this registry; the message above says how it failed.",
    ),
    _Rule(r"InvalidImageName", "Correct the image's name in the manifest."),
    _Rule(r"ErrImageNeverPull", "Set imagePullPolicy to IfNotPresent: the node has no such image."),
    _Rule(
        r"""couldn't find key (\S+) in (configmap|secret) (?:\S+/)?([\w.-]+)""",
        r"Add the key \1 to the \2 \3, or correct the name of the key in the manifest.",
    ),
    _Rule(
        r"(configmap|secret|serviceaccount|persistentvolumeclaim)s?"
        r' "?(?:[\w.-]+/)?([\w.-]+)"? not found',
        r"Add the \1 \2 to `manifests`, make it in the namespace beforehand, or correct its"
        " name where it is used.",
    ),
    _Rule(
        r"postStart hook failed",
        "Correct lifecycle.postStart in the manifest: what it answered stands above.",
    ),
    _Rule(
        r"has runAsNonRoot",
        "Set a numeric USER other than 0 in the Dockerfile, or runAsUser in the manifest.",
    ),
    _Rule(
        r"cannot be created",
        "Correct what the container asks for in the manifest: the message above names it.",
    ),
    _Rule(
        r"container (\S+) was killed for want of memory \(OOMKilled, limit ([^)]+)\)",
        r"Raise resources.limits.memory of container \1 (it is \2 now), or let it need less.",
    ),
    _Rule(
        r"container (\S+) was killed for want of memory",
        r"Its node has too little memory: set resources.requests.memory of container \1 to"
        " what it needs.",
    ),
    _Rule(
        r"container (\S+) failed its (liveness|startup) probe",
        r"Correct the \2Probe of container \1 (its port, its path), or give the program more"
        " time: a startupProbe, a higher failureThreshold.",
    ),
    _Rule(
        r"container (\S+) cannot be started",
        r"Correct `command` of container \1 in the manifest, or ENTRYPOINT and CMD of its"
        " image: the message above says what is missing.",
    ),
    _Rule(
        r"container (\S+) ended \(exit 0\)",
        r"Let the program of container \1 stay; what ends by design belongs into a Job.",
    ),
    _Rule(
        r"container (\S+) crashed|container (\S+) ended with exit code",
        r"Correct the program of container \1\2: its last words are above.",
    ),
    _Rule(
        r"claim (\S+) cannot be bound: .*storageclass\S* \"?([\w.-]+)\"? not found",
        r"Correct storageClassName of the claim \1, or make the StorageClass \2:"
        " kubectl get storageclass shows those that there are. A class cannot be changed: delete"
        " the claim first, if it has stayed; it was never bound, so nothing is stored in it.",
    ),
    _Rule(
        r"claim (\S+) cannot be bound: .*no storage class is set",
        r"Name a storageClassName in the claim \1, for this cluster has no default one, or make"
        " a PersistentVolume for it.",
    ),
    _Rule(
        r"claim (\S+) (?:cannot be bound|is not bound)",
        r"See that the provisioner for claim \1 runs in this cluster, or name"
        " another storageClassName; where it is only slow, raise `timeout`.",
    ),
    _Rule(
        r"a volume cannot be mounted",
        "See that the volume exists, and that the node reaches it and may attach it.",
    ),
    _Rule(
        r"fits no node: .*didn't match Pod's node affinity",
        "Correct nodeSelector or affinity in the manifest, or label a node accordingly:"
        " kubectl get nodes --show-labels.",
    ),
    _Rule(
        r"fits no node: .*Insufficient (\S+?)[,.;]?(?:\s|$)",
        r"Ask for less \1 in resources.requests, or add a node that has so much:"
        " kubectl describe nodes shows what is left.",
    ),
    _Rule(
        r"fits no node: .*untolerated taint",
        "Add a toleration to the manifest, or a node without that taint.",
    ),
    _Rule(
        r"fits no node",
        "Ask for what a node can give, or add one: the message above says what each lacks.",
    ),
    _Rule(
        r"exceeded quota: ([\w.-]+)",
        r"Raise the quota \1, or ask for less of it: kubectl describe quota \1.",
    ),
    _Rule(
        r"failed quota: ([\w.-]+): must specify (\S+)",
        r"Set \2 of the containers in the manifest: the quota \1 asks for it.",
    ),
    _Rule(
        r"violates PodSecurity",
        "Correct securityContext in the manifest: the namespace admits no such pods.",
    ),
    _Rule(
        r"failed calling webhook \"([^\"]+)\"",
        r"See why the admission webhook \1 does not answer: nothing is admitted"
        " before it does.",
    ),
    _Rule(
        r"its pods are refused",
        "Meet the rule that the message above names, or have it changed: it is the cluster's.",
    ),
    _Rule(
        r"somebody else changed its images",
        "Find what rewrites images: kubectl get mutatingwebhookconfigurations, or another tool"
        " that deploys this object (Argo CD, Flux, another pipeline).",
    ),
    _Rule(
        r"it was deleted while|somebody deleted it|it is being deleted",
        "Find who deletes it: another pipeline, a GitOps tool, a person. Then run again.",
    ),
    _Rule(r"set imagePullPolicy: Always", "Set imagePullPolicy: Always, or `deploy-by: digest`."),
    _Rule(
        r"job failed: .*DeadlineExceeded",
        "Raise activeDeadlineSeconds of the Job, or let it need less time.",
    ),
    _Rule(r"job failed", "Correct the program of the Job: its last words are above."),
    _Rule(
        r"no progress within progressDeadlineSeconds",
        "Look at the probes and logs above; where it only starts slowly, raise"
        " progressDeadlineSeconds in the manifest.",
    ),
    _Rule(
        r"Readiness probe failed",
        "Correct the readinessProbe or what it asks; where the program only starts slowly,"
        " raise `timeout`.",
    ),
)


def of(causes: Sequence[tuple[str, str]], *, timed_out: bool) -> str:
    """Label and cause of each failure; a line for each act, and none twice."""
    acts = (_act(cause) or _any(label, timed_out=timed_out) for label, cause in causes)
    return "\n".join(tuple(dict.fromkeys(acts))[:_MOST])


def _act(cause: str) -> str:
    for rule in _RULES:
        if found := re.search(rule.cause, cause, re.IGNORECASE):
            return found.expand(rule.act)
    return ""


def _any(label: str, *, timed_out: bool) -> str:
    if timed_out:
        return (
            f"Look at what is told of {label} above; where it only needs longer, raise `timeout`."
        )
    return f"Mend {label} as the evidence above says, and run again."
