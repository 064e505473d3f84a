from __future__ import annotations

from modelferry.rollout.objects.fields import with_value, without
from modelferry.rollout.objects.podspec import pod_spec, with_old_account_name, with_pull_secrets

CRON = {
    "apiVersion": "batch/v1",
    "kind": "CronJob",
    "metadata": {"name": "x"},
    "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": []}}}}},
}
TEMPLATE = ("spec", "jobTemplate", "spec", "template", "spec")


def test_pull_secrets_are_added_where_the_pods_are_described() -> None:
    once = with_pull_secrets(CRON, ("a", "b"))
    assert pod_spec(once)["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]
    assert with_pull_secrets(once, ("b",)) == once
    assert "imagePullSecrets" not in pod_spec(CRON)


def test_objects_without_pods_are_left() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}}
    assert with_pull_secrets(service, ("a",)) is service
    assert pod_spec(service) == {}
    of_another_group = {"apiVersion": "serving.knative.dev/v1", "kind": "Job", "spec": {}}
    assert pod_spec(of_another_group) == {}


def test_values_are_set_and_taken_in_copies() -> None:
    body = {"spec": {"replicas": 1}}
    assert with_value(body, ("metadata", "labels", "a"), "b")["metadata"]["labels"] == {"a": "b"}
    assert without(body, ("spec", "replicas")) == {"spec": {}}
    assert body == {"spec": {"replicas": 1}}


def test_an_account_is_given_under_its_old_name_too() -> None:
    """kubernetes/kubernetes issue 72519."""
    named = with_value(CRON, (*TEMPLATE, "serviceAccountName"), "reader")
    assert pod_spec(with_old_account_name(named))["serviceAccount"] == "reader"
    given = with_value(named, (*TEMPLATE, "serviceAccount"), "another")
    assert with_old_account_name(given) is given, "the API server says what is wrong"
    assert with_old_account_name(CRON) is CRON
