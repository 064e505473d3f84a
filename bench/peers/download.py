"""`python -m bench.peers.download`: azure-storage-blob and boto3, as a script of the user's.

Reads its orders as JSON from the standard input: the storage, the blobs, where to put them (files,
or nowhere) and the client's settings. Prints the seconds from the first request to the
last byte, and the processor's in them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Fetch = Callable[[str, Path], None]  # a blob's name, and the file for it


def main() -> None:
    orders = json.load(sys.stdin)
    fetch = {"blob": _blob, "s3": _s3}[orders["kind"]](orders)
    began, worked = time.monotonic(), time.process_time()
    for name in orders["blobs"]:
        target = Path(orders["folder"]) / Path(name).name if orders["folder"] else Path("/dev/null")
        fetch(name, target)
    sys.stdout.write(f"{time.monotonic() - began} {time.process_time() - worked}\n")


def _blob(orders: dict[str, Any]) -> Fetch:
    from azure.storage.blob import BlobServiceClient

    service = BlobServiceClient(
        orders["endpoint"],
        credential={"account_name": orders["account"], "account_key": orders["key"]},
        max_single_get_size=orders["part"],
        max_chunk_get_size=orders["part"],
    )
    container = service.get_container_client(orders["container"])

    def fetch(name: str, target: Path) -> None:
        with target.open("wb") as file:
            container.download_blob(name, max_concurrency=orders["concurrency"]).readinto(file)

    return fetch


def _s3(orders: dict[str, Any]) -> Fetch:
    import boto3
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config

    settings = TransferConfig(
        multipart_threshold=orders["part"],
        multipart_chunksize=orders["part"],
        max_concurrency=orders["concurrency"],
        io_chunksize=1024 * 1024,
    )
    client = boto3.client(
        "s3",
        endpoint_url=orders["endpoint"],
        region_name="us-east-1",
        aws_access_key_id=orders["account"],
        aws_secret_access_key=orders["key"],
        config=Config(max_pool_connections=orders["concurrency"]),
    )

    def fetch(name: str, target: Path) -> None:
        with target.open("wb") as file:
            client.download_fileobj(orders["container"], name, file, Config=settings)

    return fetch


if __name__ == "__main__":
    main()
