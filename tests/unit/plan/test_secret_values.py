from __future__ import annotations

import base64

from modelferry.inputs import INPUTS, from_values
from modelferry.plan import secrets

KUBECONFIG = """
apiVersion: v1
kind: Config
users:
  - name: a
    user:
      token: hunter-token
      client-key-data: aHVudGVyLWtleQ==
      client-certificate-data: cHVibGlj
  - {"name": "b", "user": {"password": "hunter-password"}}
"""


def revealed(**values: str) -> set[str]:
    given = {name.replace("_", "-"): value for name, value in values.items()}
    return {secret.reveal() for secret in secrets(from_values(given))}


def test_a_kubeconfig_as_base64_is_secret_as_a_whole_and_in_parts() -> None:
    text = KUBECONFIG + "clusters: []\n"
    encoded = base64.b64encode(text.encode()).decode()
    assert revealed(kubeconfig=encoded) == {
        encoded,
        "hunter-token",
        "aHVudGVyLWtleQ==",
        "hunter-password",
    }


def test_a_line_too_long_for_a_path_is_secret() -> None:
    assert revealed(kubeconfig="x" * 300) == {"x" * 300}


def test_every_secret_input_is_there() -> None:
    in_parts = {"build-secrets", "kubeconfig"}
    names = [item.name for item in INPUTS if item.secret and item.name not in in_parts]
    found = revealed(**{name: f"hunter-{name}" for name in names})
    assert {f"hunter-{name}" for name in names} <= found


def test_parts_of_what_holds_several() -> None:
    assert revealed(build_secrets='pip=hunter2\n"rc=one\ntwo"') == {"hunter2", "one\ntwo"}
    assert revealed(kubeconfig=KUBECONFIG) == {
        "hunter-token",
        "aHVudGVyLWtleQ==",
        "hunter-password",
    }
    connection = "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=aHVudGVy=="
    assert revealed(azure_storage_connection_string=connection) == {connection, "aHVudGVy=="}


def test_the_signature_alone_as_written_and_decoded() -> None:
    found = revealed(azure_storage_sas_token="sv=2026&sig=hunter%2Bsignature%3D")
    assert {"hunter%2Bsignature%3D", "hunter+signature="} <= found


def test_proofs_in_model_addresses() -> None:
    found = revealed(model="https://h/m?X-Amz-Signature=0123456789&X-Amz-Date=20260101 => /code/")
    assert found == {"0123456789"}


def test_a_path_is_no_secret() -> None:
    assert revealed(kubeconfig="/home/runner/.kube/config", username="ferry") == set()


def test_longest_first() -> None:
    values = [
        secret.reveal()
        for secret in secrets(
            from_values({"username": "u", "password": "hunter2", "build-secrets": "a=hunter2-long"})
        )
    ]
    assert values == ["hunter2-long", "hunter2"]


def test_nothing_shows_them() -> None:
    inputs = from_values({"password": "hunter2", "build-secrets": "a=hunter2"})
    assert "hunter2" not in repr(inputs)
    assert "hunter2" not in repr(secrets(inputs))
