"""A plain registry in Docker Hub's place: engine and BuildKit find the base images there."""

from testbed import layout, packages, processes, web

_DAEMON = "mirror"
_SETTINGS = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {folder}}}
http:
  addr: 127.0.0.1:{port}
"""


class Mirror:
    name = "mirror"

    def prepare(self) -> None:
        packages.ensure("docker-registry")

    def start(self) -> None:
        if self.running():
            return
        port = layout.claim_port("mirror")
        # Below the cache, not with the users' data: base images outlive `down`.
        folder = layout.cache_dir() / "images" / "registry"
        settings = _SETTINGS.format(folder=folder, port=port)
        file = layout.write_private(layout.state_dir("mirror") / "config.yml", settings)
        processes.start(
            _DAEMON, ["docker-registry", "serve", file], ready=self.running, timeout_s=30
        )

    def stop(self) -> None:
        processes.stop(_DAEMON)

    def running(self) -> bool:
        return processes.alive(_DAEMON) and web.answers(f"{url()}/v2/")

    def env(self) -> dict[str, str]:
        return {}


def address() -> str:
    return f"127.0.0.1:{layout.port('mirror')}"


def url() -> str:
    return f"http://{address()}"
