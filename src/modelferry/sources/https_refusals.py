"""What an https server refused, or why it could not be reached → cause and remedy. Pure."""

from __future__ import annotations

from urllib3 import exceptions as urllib3

from modelferry.errors import FerryError, IdentityError, ModelError, ModelNotFound
from modelferry.sources.refusal import Refusal, refused_for_now
from modelferry.sources.spec import ModelLine


def explain_https(line: ModelLine, refusal: Refusal, host: str) -> FerryError:
    """`host` is the one that answered, which a redirect may have led to."""
    if refusal.unknown_host:
        return ModelError(
            f"There is no host {host}: its name is not known to DNS",
            seen=f"While trying to read {line.uri}.",
            do="Check the address in `model`.",
            temporary=True,
        )
    if refusal.connection:
        return ModelError(
            f"{host} does not answer: {refusal}",
            seen=f"While trying to read {line.uri}.",
            do="Check the address in `model`, the proxy and firewall between, and the network.",
            temporary=True,
        )
    if refusal.status == 401:
        return IdentityError(
            f"{host} wants a login for {line.uri} (401)",
            seen="Modelferry sends no credential to https addresses.",
            do="Use a signed address, or azblob:// or s3:// with a key.",
        )
    if refusal.status == 403:
        return IdentityError(
            f"{host} refused to read {line.uri} (403)",
            seen="The address has a query: if that is a signature, it may have expired."
            if line.query
            else "The address has no query, and so no signature.",
            do="Make a new signed address, or use azblob:// or s3:// with a key.",
        )
    if refusal.status in (404, 410):
        return ModelNotFound(
            f"{line.uri} does not exist ({refusal})",
            seen=f"Said by {host}.",
            do="Check the address in `model`, upper and lower case too.",
        )
    return refused_for_now(
        f"{host} refused to read {line.uri} ({refusal})",
        refusal,
        do="Look at what the server's owner says about this status.",
    )


def read_urllib3(error: urllib3.HTTPError) -> Refusal:
    """Of any exception of urllib3; see tests/unit/sources/test_sdk_exceptions.py."""
    causes = (
        (urllib3.NameResolutionError, "its name is not known to DNS"),
        (urllib3.NewConnectionError, "connection refused"),  # also a TimeoutError
        (urllib3.TimeoutError, "no answer in time"),
        (urllib3.SSLError, "its TLS certificate is not trusted"),
        (urllib3.ProxyError, "the proxy does not let it through"),
        (urllib3.ProtocolError, "connection broke"),
        (urllib3.IncompleteRead, "connection broke"),
        (urllib3.InvalidChunkLength, "connection broke"),
    )
    for kind, connection in causes:
        if isinstance(error, kind):
            return Refusal(connection=connection)
    return Refusal(code=type(error).__name__)
