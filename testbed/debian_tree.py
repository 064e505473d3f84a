"""Debian in a folder or a tar. A small one with Python, trusting and asking whom this machine does,
is where all images start."""

import configparser
import hashlib
import os
import platform
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from testbed import layout, packages
from testbed.commands import run
from testbed.part import TestbedError

SUITE = "trixie"  # has docker-cli and docker-buildx, which the action's image needs
_PACKAGES = ("ca-certificates", "python3", "python3-pip", "python3-venv")
_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_DEBIANS_CAS = Path("/usr/share/ca-certificates")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_PIP_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")
_PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "timeout", "retries")
_APT_SETTINGS = ("Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries")


def ensure() -> Path:
    """The tree as a tar; its name says what it was made from."""
    files = _machine_settings()
    digest = hashlib.sha256(repr((SUITE, _PACKAGES, files)).encode()).hexdigest()[:12]
    tar = layout.cache_dir() / "images" / f"debian-{digest}.tar"
    if not tar.exists():
        with layout.locked("debian-tree"):
            if not tar.exists():
                _make(tar, files)
    return tar


def bootstrap(target: Path, suite: str, include: Sequence[str], *options: str) -> None:
    """Debian's `suite` with these packages from the machine's mirrors: a tar, or else a folder."""
    packages.ensure("mmdebstrap", "debian-archive-keyring")
    wanted = ["--variant=minbase", f"--include={','.join(include)}", *options]
    wanted += [f"--aptopt={line}" for line in _apt_conf().splitlines()]
    # A mirror that lags behind by more than a release file's life is still a mirror.
    wanted.append('--aptopt=Acquire::Check-Valid-Until "false"')
    run("mmdebstrap", *wanted, suite, target, stdin=_sources(suite))


def _make(tar: Path, files: dict[str, str]) -> None:
    with layout.drafted(tar) as draft, tempfile.TemporaryDirectory() as settings:
        for name, text in files.items():
            target = Path(settings) / name.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        bootstrap(
            draft,
            SUITE,
            _PACKAGES,
            "--format=tar",  # the draft's name does not say it
            f"--customize-hook=sync-in {settings} /",
            '--customize-hook=chmod 755 "$1" && chroot "$1" update-ca-certificates',
            # As in the official Python images, pip may install beside Debian's packages.
            '--customize-hook=rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED',
        )
    for older in set(tar.parent.glob("debian-*.tar")) - {tar}:
        older.unlink()


def _machine_settings() -> dict[str, str]:
    """Path in the tree -> content."""
    place = "/usr/local/share/ca-certificates"
    files = {f"{place}/machine-{i}.crt": text for i, text in enumerate(_own_cas(), start=1)}
    files["/etc/pip.conf"] = _pip_conf()
    files["/etc/apt/apt.conf.d/90machine"] = _apt_conf()
    files["/etc/apt/sources.list"] = _sources(SUITE)
    return files


def _own_cas() -> list[str]:
    """What this machine trusts beyond Debian's list: a private network's CA, usually."""
    debians = [path.read_text() for path in _DEBIANS_CAS.rglob("*.crt")]
    known = {_bare(text) for text in debians}
    trusted = _CERTIFICATE.findall(_BUNDLE.read_text())
    return sorted({f"{text}\n" for text in trusted if _bare(text) not in known})


def _bare(certificate: str) -> str:
    return "".join(certificate.split())


def _pip_conf() -> str:
    """The machine's package index, without paths that exist only here; the system's CAs."""
    parser = configparser.RawConfigParser()
    parser.read([Path(name).expanduser() for name in _PIP_FILES])
    found = {"cert": str(_BUNDLE)}
    for name in _PIP_SETTINGS:
        from_file = parser.get("global", name, fallback=None)
        value = os.environ.get(f"PIP_{name.upper().replace('-', '_')}", from_file)
        if value:
            found[name] = value
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in found.items())


def _apt_conf() -> str:
    lines = run("apt-config", "dump", "Acquire").splitlines()
    return "".join(
        f"{line}\n" for line in lines if line.startswith(_APT_SETTINGS) and '""' not in line
    )


def _sources(suite: str) -> str:
    """The machine's own Debian mirrors, asked for this suite."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", suite)
    kinds = ("",) if suite == "sid" else ("", "-updates", "-security")
    suites = {f"{release}{kind}": f"{suite}{kind}" for kind in kinds}
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    lines = run("apt-get", "indextargets", "--format", form, "Created-By: Packages").splitlines()
    targets = [line.split() for line in lines if len(line.split()) == 3]
    found = [
        f"deb {uri} {suites[theirs]} main"
        for uri, theirs, component in targets
        if theirs in suites and component == "main"
    ]
    if not any(line.endswith(f" {suite} main") for line in found):
        raise TestbedError(f"apt's sources name no Debian mirror of {release}; add one.")
    return "".join(f"{line}\n" for line in dict.fromkeys(found))
