"""Objects for rollouts. What a container does is a line of shell; /tmp/ready makes it ready."""

from typing import Any

Body = dict[str, Any]

READY = "touch /tmp/ready; exec sleep inf"
CRASH = "echo 'ImportError: no module named onnxruntime'; exit 1"


def slowly(seconds: float) -> str:
    return f"sleep {seconds:g}; {READY}"


def pod_spec(image: str, script: str, *, probe: bool = True, **more: Any) -> Body:
    container: Body = {"name": "score", "image": image, "command": ["sh", "-c", script]}
    container |= more.pop("container", {})
    if probe:
        command = {"command": ["test", "-e", "/tmp/ready"]}
        container["readinessProbe"] = {"exec": command, "periodSeconds": 1}
    return {"terminationGracePeriodSeconds": 0, "containers": [container], **more}


def workload(kind: str, spec: Body, *, name: str = "score", **more: Any) -> Body:
    """A Deployment, StatefulSet or DaemonSet; `more` is of its spec."""
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
            **more,
        },
    }


def job(spec: Body, *, name: str = "score", **more: Any) -> Body:
    template = {"spec": {"restartPolicy": "Never", **spec}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": template, **more},
    }


def pod(spec: Body, *, name: str = "score") -> Body:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def of(api_version: str, kind: str, name: str, **more: Any) -> Body:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **more}


def autoscaler(least: int, *, name: str = "score") -> Body:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    spec = {"scaleTargetRef": target, "minReplicas": least, "maxReplicas": least + 1}
    return of("autoscaling/v2", "HorizontalPodAutoscaler", name, spec=spec)


def disruption_budget(least: int, *, name: str = "score") -> Body:
    spec = {"minAvailable": least, "selector": {"matchLabels": {"app": name}}}
    return of("policy/v1", "PodDisruptionBudget", name, spec=spec)
