"""A real one-node Kubernetes on this machine, or the cluster that the environment names."""

from testbed.kubernetes.cluster import Kubernetes

__all__ = ["Kubernetes"]
