"""The demo's container in Blob storage."""

from collections.abc import Mapping
from contextlib import suppress


def connection_string(env: Mapping[str, str]) -> str:
    return (
        f"DefaultEndpointsProtocol=http;AccountName={env['TESTBED_BLOB_ACCOUNT']};"
        f"AccountKey={env['TESTBED_BLOB_KEY']};BlobEndpoint={env['TESTBED_BLOB_ENDPOINT']};"
    )


def empty(env: Mapping[str, str], container: str) -> None:
    """An earlier demo's models would be the latest."""
    from azure.core.exceptions import ResourceNotFoundError
    from azure.storage.blob import ContainerClient

    connection = connection_string(env)
    with (
        ContainerClient.from_connection_string(connection, container) as client,
        suppress(ResourceNotFoundError),
    ):
        for name in client.list_blob_names():
            client.delete_blob(name)
