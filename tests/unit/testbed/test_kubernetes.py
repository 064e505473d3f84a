import base64
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from testbed.kubernetes import Kubernetes, credentials, load_balancer, named, network, pause, pki
from testbed.kubernetes.programs import Program
from testbed.part import TestbedError
from testbed.registry import RegistryAccess

_NAT = r"""*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
:CNI-DN-3d1e5117359ac0e166ba7 - [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-NPX46M4PTMTKRN6Y - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A CNI-HOSTPORT-DNAT -m comment --comment "dnat name: \"NETWORK\" id: \"x\"" -j CNI-DN-3d1e5
-A KUBE-SERVICES -d 10.96.0.1/32 -j KUBE-SVC-NPX46M4PTMTKRN6Y
COMMIT
"""


def test_the_clusters_chains_go_with_the_jumps_to_them() -> None:
    assert network.removal(_NAT.replace("NETWORK", "modelferry")) == [
        "-D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
        '-D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        "-F CNI-DN-3d1e5117359ac0e166ba7",
        "-F CNI-HOSTPORT-DNAT",
        "-F KUBE-SERVICES",
        "-F KUBE-SVC-NPX46M4PTMTKRN6Y",
        "-X CNI-DN-3d1e5117359ac0e166ba7",
        "-X CNI-HOSTPORT-DNAT",
        "-X KUBE-SERVICES",
        "-X KUBE-SVC-NPX46M4PTMTKRN6Y",
    ]


def test_chains_for_host_ports_stay_when_another_network_uses_them() -> None:
    changes = network.removal(_NAT.replace("NETWORK", "podman"))
    assert changes
    assert not [line for line in changes if "CNI" in line]


def test_a_table_without_chains_of_ours_is_left_alone() -> None:
    assert network.removal("*nat\n:DOCKER - [0:0]\n-A PREROUTING -j DOCKER\nCOMMIT\n") == []


def _service(name: str, kind: str, address: str = "") -> dict[str, Any]:
    ingress = [{"ip": address}] if address else []
    return {
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"type": kind},
        "status": {"loadBalancer": {"ingress": ingress} if ingress else {}},
    }


def test_each_load_balancer_gets_an_address_of_its_own() -> None:
    services = [
        _service("has", "LoadBalancer", "10.200.1.1"),
        _service("first", "LoadBalancer"),
        _service("second", "LoadBalancer"),
        _service("inner", "ClusterIP"),
    ]
    assert load_balancer.assignments(services) == {
        "/api/v1/namespaces/shop/services/first/status": "10.200.1.2",
        "/api/v1/namespaces/shop/services/second/status": "10.200.1.3",
    }


def test_a_service_that_is_no_load_balancer_any_more_loses_its_address() -> None:
    services = [_service("was", "ClusterIP", "10.200.1.1")]
    assert load_balancer.assignments(services) == {
        "/api/v1/namespaces/shop/services/was/status": None
    }


def test_without_a_free_address_a_service_stays_pending() -> None:
    services = [_service(f"s{i}", "LoadBalancer", f"10.200.1.{i}") for i in range(1, 255)]
    assert load_balancer.assignments([*services, _service("late", "LoadBalancer")]) == {}


def test_certificates_carry_user_group_and_hosts_and_are_signed() -> None:
    authority = pki.Authority()
    issuer = x509.load_pem_x509_certificate(authority.pair.certificate.encode())
    pair = authority.issue("somebody", group="system:nodes", hosts=("node", "10.0.0.1"))
    certificate = x509.load_pem_x509_certificate(pair.certificate.encode())
    certificate.verify_directly_issued_by(issuer)
    attributes = {attribute.oid: attribute.value for attribute in certificate.subject}
    assert attributes == {
        NameOID.ORGANIZATION_NAME: "system:nodes",
        NameOID.COMMON_NAME: "somebody",
    }
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["node"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODELFERRY_CACHE", str(tmp_path))
    monkeypatch.delenv("MODELFERRY_TESTBED_KUBECONFIG", raising=False)
    return tmp_path


def test_the_kubeconfig_is_complete_and_private(cache: Path) -> None:
    credentials.write()
    file = Path(_cluster().env()["KUBECONFIG"])
    assert file.is_relative_to(cache)
    assert file.stat().st_mode & 0o077 == 0
    cluster = json.loads(file.read_text())["clusters"][0]["cluster"]
    assert cluster["server"].startswith("https://10.200.0.1:")
    authority = base64.b64decode(cluster["certificate-authority-data"])
    assert authority == file.with_name("ca.crt").read_bytes()


@pytest.mark.usefixtures("cache")
def test_a_cluster_that_was_never_started_is_down_and_stays_untouched() -> None:
    assert not _cluster().running()
    _cluster().stop()


def test_a_kubeconfig_of_the_environment_is_not_used(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/production")
    assert named.kubeconfig() is None
    assert Path(_cluster().env()["KUBECONFIG"]).is_relative_to(cache)


def test_a_named_cluster_is_used_and_never_stopped(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = cache / "theirs"
    theirs.write_text("{}")
    monkeypatch.setenv("MODELFERRY_TESTBED_KUBECONFIG", str(theirs))
    assert _cluster().env() == {"KUBECONFIG": str(theirs)}
    assert not _cluster().running()
    with pytest.raises(TestbedError, match="does not answer"):
        _cluster().start()
    _cluster().stop()
    assert theirs.exists()


def test_a_named_kubeconfig_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELFERRY_TESTBED_KUBECONFIG", "/nowhere/config")
    with pytest.raises(TestbedError, match="/nowhere/config"):
        _cluster().start()


def test_the_pause_image_names_its_blobs_by_their_digests() -> None:
    with tarfile.open(fileobj=io.BytesIO(pause.image(b"program", "amd64"))) as archive:
        contents = {m.name: archive.extractfile(m) for m in archive.getmembers()}
        files = {name: file.read() for name, file in contents.items() if file}
    entry = json.loads(files["index.json"])["manifests"][0]
    assert entry["annotations"] == {"io.containerd.image.name": pause.IMAGE}
    manifest = json.loads(files["blobs/" + entry["digest"].replace(":", "/")])
    layer = manifest["layers"][0]
    assert len(files["blobs/" + layer["digest"].replace(":", "/")]) == layer["size"]


def test_other_flags_make_another_program() -> None:
    assert Program(name="pause").path() != Program(name="pause", linker_flags="-s").path()


def _cluster() -> Kubernetes:
    return Kubernetes(RegistryAccess(host="127.0.0.1:1", username="u", password="p"))
