"""The one binary with all Kubernetes components, built from the Go module k8s.io/kubernetes."""

from testbed import layout
from testbed.commands import run
from testbed.kubernetes import settings

_MAJOR, _MINOR, _ = settings.VERSION.removeprefix("v").split(".")


def build() -> None:
    """Takes minutes the first time; Go's own cache keeps what an interrupted build had done."""
    binary = settings.kube()
    if binary.exists():
        return
    with layout.locked("go"):
        binary.parent.mkdir(parents=True, exist_ok=True)
        draft = binary.with_name(f".{binary.name}")
        run(
            "go",
            "build",
            "-trimpath",
            "-ldflags",
            _flags(),
            "-o",
            draft,
            ".",
            cwd=settings.KUBE_SOURCE,
        )
        draft.replace(binary)


def _flags() -> str:
    """Without symbols, and with the version that the components report."""
    package = "k8s.io/component-base/version"
    values = {"gitVersion": settings.VERSION, "gitMajor": _MAJOR, "gitMinor": _MINOR}
    return " ".join(["-s -w", *(f"-X {package}.{name}={value}" for name, value in values.items())])
