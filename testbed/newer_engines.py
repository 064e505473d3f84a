"""Docker as new as on GitHub's runners, whatever the machine's own is, once for each image store.

Each runs from a Debian tree, in mount and network namespaces of its own: what it mounts and the
bridge it makes are gone with it, and the first engine's are never touched. Its containers reach
one another and nothing else.
"""

import json
import tempfile
from pathlib import Path

from testbed import base_images, debian_tree, layout, processes
from testbed import engine as first_engine
from testbed.commands import run, succeeds

_STORES = ("classic", "containerd")
_SUITE = "sid"
_PACKAGES = ("docker.io", "docker-cli", "containerd", "iptables", "ca-certificates")

# State and data have the same path inside the tree as outside: the socket is found from both.
# runc can set the propagation of mounts only where the tree's root is a mount itself.
_ENTER_AND_BECOME = """\
set -e
tree=$1 state=$2 data=$3
mount --bind "$tree" "$tree"
mount -t proc proc "$tree/proc"
mount -t sysfs sysfs "$tree/sys"
mount --rbind /sys/fs/cgroup "$tree/sys/fs/cgroup"
mount --rbind /dev "$tree/dev"
mount -t tmpfs tmpfs "$tree/run"
for folder in "$state" "$data"; do
  mkdir -p "$tree$folder"
  mount --bind "$folder" "$tree$folder"
done
ip link set lo up
exec chroot "$tree" dockerd --config-file "$state/daemon.json"
"""


class NewerEngines:
    name = "newer-engines"

    def prepare(self) -> None:
        _ensure_tree()

    def start(self) -> None:
        tree = _ensure_tree()
        for store in _STORES:
            _start(store, tree)
        _load(base_images.FLASK_IMAGE)

    def stop(self) -> None:
        for store in _STORES:
            _stop(store)

    def running(self) -> bool:
        return all(_running(store) for store in _STORES)

    def env(self) -> dict[str, str]:
        return {"TESTBED_ENGINES": " ".join(f"newer-{store}={_host(store)}" for store in _STORES)}


def _ensure_tree() -> Path:
    """Kept for good once it is there: it follows no later version of the suite."""
    tree = layout.cache_dir() / "newer-engine" / "tree"
    if not tree.exists():
        with layout.locked("newer-engine-tree"):
            if not tree.exists():
                with layout.drafted(tree) as draft:
                    debian_tree.bootstrap(draft, _SUITE, _PACKAGES)
    return tree


def _start(store: str, tree: Path) -> None:
    if not processes.alive(_daemon(store)):
        _stop(store)  # what a crashed daemon left: containers go on without it
    state, data = _state(store), _data_root(store)
    data.mkdir(parents=True, exist_ok=True)
    layout.write_private(state / "daemon.json", json.dumps(_settings(store), indent=1))
    script = ["sh", "-c", _ENTER_AND_BECOME, "sh", tree, state, data]
    processes.start(
        _daemon(store),
        ["unshare", "--net", "--mount", "--", *script],
        ready=lambda: _running(store),
        timeout_s=60,
    )


def _stop(store: str) -> None:
    if _running(store) and (containers := _docker(store, "ps", "--all", "--quiet").split()):
        _docker(store, "rm", "--force", "--volumes", *containers)
    processes.stop(_daemon(store), timeout_s=40)
    processes.kill_users_of(_state(store), "containerd")
    _socket(store).unlink(missing_ok=True)
    (_state(store) / "dockerd.pid").unlink(missing_ok=True)


def _running(store: str) -> bool:
    return processes.alive(_daemon(store)) and succeeds(*_client(store), "version")


def _load(image: str) -> None:
    """From the first engine, with all that lies between them: no registry is within reach."""
    layers = first_engine.docker("image", "inspect", "--format", _LAYERS, image)
    lacking = [store for store in _STORES if _layers(store, image) != layers]
    if not lacking:
        return
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        first_engine.docker("save", "--output", archive, image)
        for store in lacking:
            _docker(store, "load", "--quiet", "--input", archive)


_LAYERS = "{{json .RootFS.Layers}}"


def _layers(store: str, image: str) -> str:
    inspect = ("image", "inspect", "--format", _LAYERS, image)
    return _docker(store, *inspect) if succeeds(*_client(store), *inspect) else ""


def _settings(store: str) -> dict[str, object]:
    state = _state(store)
    return {
        "hosts": [_host(store)],
        "data-root": str(_data_root(store)),
        "exec-root": str(state / "exec"),
        "pidfile": str(state / "dockerd.pid"),
        "features": {"containerd-snapshotter": store == "containerd"},
    }


def _docker(store: str, *arguments: str | Path) -> str:
    return run(*_client(store), *arguments)


def _client(store: str) -> list[str]:
    return ["docker", "--host", _host(store)]


def _host(store: str) -> str:
    return f"unix://{_socket(store)}"


def _socket(store: str) -> Path:
    return _state(store) / "docker.sock"


def _daemon(store: str) -> str:
    return f"newer-engine-{store}"


def _state(store: str) -> Path:
    return layout.state_dir(_daemon(store))


def _data_root(store: str) -> Path:
    """Images outlive `down`."""
    return layout.cache_dir() / "newer-engine" / store
