"""Every secret among the inputs, to be masked before anything is printed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

from modelferry.inputs import INPUTS, Inputs
from modelferry.plan.cluster import LONGEST_PATH, is_path, kubeconfig_text
from modelferry.plan.parsing import Faults, pairs
from modelferry.values import Secret

# What an address's query proves its bearer with: SAS, presigned S3, tokens of other stores.
_PROOF = re.compile(r"sig|signature|token|secret|password|key|credential|auth", re.IGNORECASE)
_KUBECONFIG_PROOF = re.compile(
    r"""\b(?:token|password|client-key-data|(?:id|access|refresh)-token)["']?\s*:\s*["']?([^\s"',}]+)"""
)
_CONNECTION_PROOF = re.compile(
    r"(?:^|;)\s*(?:AccountKey|SharedAccessSignature)=([^;]+)", re.IGNORECASE
)


def secrets(inputs: Inputs) -> tuple[Secret, ...]:
    """Longest first, so that redacting one never leaves the rest of another."""
    found = {value for value in _values(inputs) if value.strip()}
    return tuple(Secret(value) for value in sorted(found, key=lambda value: (-len(value), value)))


def _values(inputs: Inputs) -> Iterable[str]:
    parts = {"build-secrets", "kubeconfig"}  # secret in parts: a path or an id may be shown
    for item in INPUTS:
        if item.secret and item.name not in parts:
            value: Secret = getattr(getattr(inputs, item.group), item.attribute)
            yield value.reveal()
    yield from (value for _, value in _build_secrets(inputs))
    yield from _kubeconfig(inputs.cluster.kubeconfig.reveal())
    connection = inputs.model.azure_storage_connection_string.reveal()
    yield from (key for found in _CONNECTION_PROOF.findall(connection) for key in _sas(found))
    yield from _sas(inputs.model.azure_storage_sas_token.reveal())
    for query in re.findall(
        r"\?(\S+)", f"{inputs.model.model} {inputs.model.azure_storage_endpoint}"
    ):
        yield from _proofs(query)


def _kubeconfig(given: str) -> Iterable[str]:
    """A path may be shown; of content, what proves somebody's identity may not."""
    text = kubeconfig_text(given)
    yield from _KUBECONFIG_PROOF.findall(text)
    if text != given.strip():  # base64
        yield given
    elif is_path(text) and len(text) > LONGEST_PATH:
        yield text


def _build_secrets(inputs: Inputs) -> tuple[tuple[str, str], ...]:
    return pairs("build-secrets", inputs.image.build_secrets.reveal(), Faults(), shown=False)


def _sas(text: str) -> Iterable[str]:
    """The whole, and the signature in it: logs of SDKs show a token's parts."""
    yield text
    yield from _proofs(text)


def _proofs(query: str) -> Iterable[str]:
    """Values as they stand in the address, and decoded."""
    for name, value in re.findall(r"([^?&=\s]+)=([^&\s]+)", query):
        if _PROOF.search(name) and len(value) >= 8:  # shorter: a switch
            yield value
            yield unquote(value)
