"""Blob storage: Azurite from its npm package, over plain http with an account of our own."""

import base64
import secrets
import shutil

from testbed import layout, npm, processes, web

_PACKAGE = npm.NodePackage(name="azurite", version="3.37.0")
_DAEMON = "blob"


class Blob:
    """Identities need https and `--oauth basic`; they come with the Entra part."""

    name = "blob"

    def prepare(self) -> None:
        npm.ensure(_PACKAGE)

    def start(self) -> None:
        if self.running():
            return
        processes.stop(_DAEMON)
        port = layout.claim_port("blob")
        server = npm.ensure(_PACKAGE) / "dist" / "src" / "blob" / "main.js"
        processes.start(
            _DAEMON,
            [
                "node",
                server,
                "--blobHost=127.0.0.1",
                f"--blobPort={port}",
                f"--location={layout.data_dir('blob')}",
                "--disableProductStyleUrl",
                "--skipApiVersionCheck",
                "--disableTelemetry",
                "--silent",
            ],
            env={"AZURITE_ACCOUNTS": f"{_account()}:{_key()}"},
            ready=lambda: web.answers(f"http://127.0.0.1:{port}/"),
            timeout_s=60,
        )

    def stop(self) -> None:
        processes.stop(_DAEMON)
        shutil.rmtree(layout.data_dir("blob"))

    def running(self) -> bool:
        return processes.alive(_DAEMON) and web.answers(_endpoint())

    def env(self) -> dict[str, str]:
        return {
            "TESTBED_BLOB_ENDPOINT": _endpoint(),
            "TESTBED_BLOB_ACCOUNT": _account(),
            "TESTBED_BLOB_KEY": _key(),
        }


def _endpoint() -> str:
    return f"http://127.0.0.1:{layout.port('blob')}/{_account()}"


def _account() -> str:
    return layout.secret("blob-account", lambda: f"ferry{secrets.token_hex(4)}")


def _key() -> str:
    return layout.secret("blob-key", lambda: base64.b64encode(secrets.token_bytes(64)).decode())
