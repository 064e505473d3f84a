from __future__ import annotations

from collections.abc import Callable

from modelferry.plan import Plan, describe

DIGEST = "sha256:" + "a" * 64


def test_says_what_each_stage_would_do(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(
        {
            "dry-run": "true",
            "model": "azblob://acct/models/{latest}/ => /code/\ns3://bucket/m?versionId=7",
            "checks": "GET /version => 200",
            "build-secrets": "pip=hunter2",
            "build-args": "MODE=hidden",
            "namespace": "models",
        }
    )
    assert describe(plan).splitlines() == [
        "stages: fetch → build → test → push → deploy, dry run",
        "fetch:",
        "  azblob://acct/models/{latest}/ => /code/",
        "  s3://bucket/m at version 7 => /model/",
        "build:",
        "  /workspace/Dockerfile in /workspace, by docker",
        "  build arguments: MODE",
        "  build secrets: pip",
        "test:",
        "  the app answers / on the image's first exposed port within 1 min 0 s",
        "  check: GET /version => 200",
        "push:",
        "  reg.azurecr.io/team/score:sha-0123456789ab",
        "  reg.azurecr.io/team/score:feature-lynx",
        "deploy:",
        "  image that was pushed, by digest",
        "  release score in namespace models",
        "  manifests k8s/",
        "  at most 10 min 0 s, 1 checks on the new pods",
        "  on failure back to what was there, at most 5 min 0 s",
    ]


def test_says_what_a_rollback_would_do(plan_of: Callable[..., Plan]) -> None:
    assert describe(plan_of({"stages": "rollback", "to": "7"})).splitlines() == [
        "stages: rollback",
        "rollback:",
        "  release score in the context's namespace, to 7",
        "  at most 10 min 0 s",
    ]


def test_says_what_does_not_happen(plan_of: Callable[..., Plan]) -> None:
    text = describe(plan_of({"stages": "build"}))
    assert "no model is given" in text
    assert "not tested" in text
    assert "nothing is uploaded" in text


def test_a_job_that_only_deploys(plan_of: Callable[..., Plan]) -> None:
    image = f"reg.azurecr.io/team/score@{DIGEST}"
    text = describe(plan_of({"stages": "deploy", "image": image}))
    assert f"image {image}, by digest" in text
    assert "not tested" not in text
