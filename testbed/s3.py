"""S3: versitygw, a production gateway, over a folder, with object versions."""

import shutil

from testbed import gotools, layout, processes, web

_DAEMON = "s3"


class S3:
    name = "s3"

    def prepare(self) -> None:
        gotools.ensure("versitygw")

    def start(self) -> None:
        if self.running():
            return
        processes.stop(_DAEMON)
        address = f"127.0.0.1:{layout.claim_port('s3')}"
        versions, objects = layout.data_dir("s3") / "versions", layout.data_dir("s3") / "objects"
        versions.mkdir(exist_ok=True)
        objects.mkdir(exist_ok=True)
        argv = [gotools.ensure("versitygw"), "--quiet", "--port", address]
        processes.start(
            _DAEMON,
            [*argv, "posix", "--versioning-dir", versions, objects],
            env={"ROOT_ACCESS_KEY": _access_key(), "ROOT_SECRET_KEY": _secret_key()},
            ready=lambda: web.answers(f"http://{address}/"),
            timeout_s=30,
        )

    def stop(self) -> None:
        processes.stop(_DAEMON)
        shutil.rmtree(layout.data_dir("s3"))

    def running(self) -> bool:
        return processes.alive(_DAEMON) and web.answers(_endpoint())

    def env(self) -> dict[str, str]:
        return {
            "TESTBED_S3_ENDPOINT": _endpoint(),
            "TESTBED_S3_ACCESS_KEY_ID": _access_key(),
            "TESTBED_S3_SECRET_ACCESS_KEY": _secret_key(),
        }


def _endpoint() -> str:
    return f"http://127.0.0.1:{layout.port('s3')}"


def _access_key() -> str:
    return layout.secret("s3-access-key")


def _secret_key() -> str:
    return layout.secret("s3-secret-key")
