"""A private registry as Azure's: a real one behind its token server, both on one address."""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from testbed import layout, packages, processes, registry_tokens, web

_USERNAME = "modelferry"
_STORE, _TOKENS, _FRONT = "registry-store", "registry-tokens", "registry-front"
_ROOT = Path(__file__).parent.parent

_STORE_SETTINGS = """\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {folder}}}
  delete: {{enabled: true}}
http:
  addr: 127.0.0.1:{port}
  secret: {secret}
auth:
  token:
    realm: http://{host}/oauth2/token
    service: {host}
    issuer: {issuer}
    rootcertbundle: {certificate}
"""

# Bodies of any size pass through as they come, none is kept.
_FRONT_SETTINGS = """\
daemon off;
user root;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{}}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_http_version 1.1;
  proxy_buffering off;
  proxy_request_buffering off;
  proxy_read_timeout 900s;
  proxy_set_header Host $http_host;
  proxy_set_header Connection "";
  upstream store {{ server 127.0.0.1:{store_port}; keepalive 16; }}
  server {{
    listen {host};
    location /v2/ {{ proxy_pass http://store; }}
    location /oauth2/ {{ proxy_pass http://127.0.0.1:{tokens_port}; }}
  }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryAccess:
    """What a cluster's nodes need to pull without pull secrets."""

    host: str
    username: str
    password: str


def access() -> RegistryAccess:
    return RegistryAccess(
        host=f"127.0.0.1:{layout.port('registry')}",
        username=_USERNAME,
        password=layout.secret("registry-password"),
    )


class Registry:
    name = "registry"

    def prepare(self) -> None:
        packages.ensure("docker-registry", "nginx")

    def start(self) -> None:
        if self.running():
            return
        self._stop_daemons()
        host = f"127.0.0.1:{layout.claim_port('registry')}"
        _start_tokens(host)
        _start_store(host)
        _start_front(host)

    def stop(self) -> None:
        self._stop_daemons()
        shutil.rmtree(layout.data_dir("registry"))

    def running(self) -> bool:
        daemons = (_STORE, _TOKENS, _FRONT)
        return all(map(processes.alive, daemons)) and web.answers(f"http://{access().host}/v2/")

    def env(self) -> dict[str, str]:
        ours = access()
        return {
            "TESTBED_REGISTRY": ours.host,
            "TESTBED_REGISTRY_USERNAME": ours.username,
            "TESTBED_REGISTRY_PASSWORD": ours.password,
        }

    def _stop_daemons(self) -> None:
        for daemon in (_FRONT, _STORE, _TOKENS):
            processes.stop(daemon)


def _start_tokens(host: str) -> None:
    port = layout.claim_port(_TOKENS)
    settings = {
        "port": port,
        "service": host,
        "username": _USERNAME,
        "password": layout.secret("registry-password"),
        "key": str(_folder() / "tokens.key"),
        "certificate": str(_certificate()),
    }
    registry_tokens.make_key(_folder() / "tokens.key", _certificate())
    file = layout.write_private(_folder() / "tokens.json", json.dumps(settings))
    processes.start(
        _TOKENS,
        [sys.executable, "-m", "testbed.registry_tokens", file],
        env={"PYTHONPATH": str(_ROOT)},
        ready=lambda: web.answers(f"http://127.0.0.1:{port}/"),
        timeout_s=30,
    )


def _start_store(host: str) -> None:
    port = layout.claim_port(_STORE)
    settings = _STORE_SETTINGS.format(
        folder=layout.data_dir("registry"),
        port=port,
        secret=layout.secret("registry-uploads"),
        host=host,
        issuer=registry_tokens.ISSUER,
        certificate=_certificate(),
    )
    file = layout.write_private(_folder() / "store.yml", settings)
    processes.start(
        _STORE,
        ["docker-registry", "serve", file],
        ready=lambda: web.answers(f"http://127.0.0.1:{port}/v2/"),
        timeout_s=30,
    )


def _start_front(host: str) -> None:
    settings = _FRONT_SETTINGS.format(
        folder=_folder(),
        host=host,
        store_port=layout.port(_STORE),
        tokens_port=layout.port(_TOKENS),
    )
    file = layout.write_private(_folder() / "front.conf", settings)
    processes.start(
        _FRONT,
        ["nginx", "-c", file],
        ready=lambda: web.answers(f"http://{host}/v2/"),
        timeout_s=30,
    )


def _folder() -> Path:
    return layout.state_dir("registry")


def _certificate() -> Path:
    return _folder() / "tokens.crt"
