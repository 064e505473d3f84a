"""ClusterAccess → the SDK's configuration: address, trust and credential of one cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes.client import Configuration
from kubernetes.config import (
    ConfigException,
    load_incluster_config,
    load_kube_config_from_dict,
)
from kubernetes.config.kube_config import ConfigNode, KubeConfigMerger

from modelferry.cluster.access import ClusterAccess
from modelferry.errors import Fault, IdentityError, InputError

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    configuration: Configuration
    namespace: str
    origin: str  # where they came from, for messages


def load(access: ClusterAccess, environ: Mapping[str, str]) -> Credentials:
    if access.content:
        document = _document(access.content.reveal(), "the content given as `kubeconfig`")
        return _from_document(document, "the kubeconfig given as content", access.context)
    if access.path:
        origin = f"the kubeconfig {access.path}"
        return _from_document(_merged(access.path), origin, access.context)
    if paths := environ.get("KUBECONFIG"):
        return _from_document(_merged(paths), f"KUBECONFIG ({paths})", access.context)
    if "KUBERNETES_SERVICE_HOST" in environ and (_SERVICE_ACCOUNT / "token").exists():
        return _in_cluster()
    raise InputError(
        Fault(
            name="kubeconfig",
            given=None,
            allowed="is needed to deploy: a path or the content; KUBECONFIG is not set either,"
            " and this is no pod with a service account",
        )
    )


def _merged(paths: str) -> Any:
    """As the SDK merges them: it remembers for each entry the folder its relative paths mean."""
    if not any(Path(path).expanduser().is_file() for path in paths.split(":") if path):
        raise _fault(f"{paths}: there is no such file")
    try:
        merged = KubeConfigMerger(paths).config
    except (ConfigException, yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise _fault(f"{paths}: {_one_line(error)}") from error
    if merged is None:
        raise _fault(f"{paths}: no kubeconfig in it")
    return merged


def _document(text: str, name: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        # the problem and its line only: the context that PyYAML quotes may hold a key
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "no YAML"
        raise _fault(f"{name} is no YAML: {problem}{line}") from None
    if not isinstance(document, dict):
        raise _fault(f"{name} is no kubeconfig (a mapping with clusters, users, contexts)")
    return document


def _from_document(document: Any, origin: str, context: str | None) -> Credentials:
    contexts = _named(document, "contexts")
    chosen = context or _plain(document).get("current-context")
    if chosen not in contexts:
        known = ", ".join(sorted(map(str, contexts))) or "none"
        if context:
            raise InputError(
                Fault(name="kube-context", given=context, allowed=f"{origin} has: {known}")
            )
        raise _fault(f"{origin} has no current-context; set `kube-context` to one of: {known}")
    configuration = Configuration()
    try:
        load_kube_config_from_dict(
            document, context=chosen, client_configuration=configuration, persist_config=False
        )
    except (ConfigException, TypeError, ValueError, OSError) as error:
        raise _fault(f"{origin}: {_one_line(error)}") from error
    details = contexts[chosen]
    _require_credential(document, details.get("user"), configuration)
    return Credentials(
        configuration=configuration,
        namespace=details.get("namespace") or "default",
        origin=f"{origin}, context {chosen}",
    )


def _require_credential(document: Any, user: str | None, configuration: Configuration) -> None:
    """The SDK goes on without a credential when an exec command fails: stop here instead."""
    details = _named(document, "users").get(user) or {}
    command = _plain(details.get("exec") or {}).get("command")
    if command and not configuration.api_key and not configuration.cert_file:
        raise IdentityError(
            f"the kubeconfig's user {user!r} takes its credential from the command {command!r},"
            " which gave none",
            seen="It may be missing here, or want a person to log in.",
            do="Give a kubeconfig with a token or certificate, or log that command in before.",
        )


def _named(document: Any, kind: str) -> dict[str | None, dict[str, Any]]:
    """`contexts: [{name: N, context: {…}}]` → N → {…}"""
    found: dict[str | None, dict[str, Any]] = {}
    for node in _plain(_plain(document).get(kind) or []):
        entry = _plain(node)
        if isinstance(entry, dict):
            details = _plain(entry.get(kind.removesuffix("s")))
            found[entry.get("name")] = details if isinstance(details, dict) else {}
    return found


def _plain(node: Any) -> Any:
    return node.value if isinstance(node, ConfigNode) else node


def _in_cluster() -> Credentials:
    configuration = Configuration()
    try:
        load_incluster_config(client_configuration=configuration)
    except ConfigException as error:
        raise IdentityError(
            f"this pod's service account cannot be used: {_one_line(error)}",
            do="Give `kubeconfig`, or let the pod mount its service account's token.",
        ) from error
    return Credentials(
        configuration=configuration,
        namespace=(_SERVICE_ACCOUNT / "namespace").read_text().strip(),
        origin="this pod's service account",
    )


def _fault(what: str) -> InputError:
    return InputError(Fault(name="kubeconfig", given=None, allowed=what))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
