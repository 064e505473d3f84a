"""act: runs a workflow here as GitHub's runner would, its container actions included."""

from pathlib import Path

from testbed import base_images, gotools, layout


def argv(
    workspace: Path,
    workflow: Path,
    *,
    event: str = "push",
    job: str | None = None,
    env_file: Path | None = None,
    secret_file: Path | None = None,
) -> list[str]:
    """The command that runs `workflow` on a copy of the repository at `workspace`.

    Jobs run on the host's network, so loopback is the testbed's; nothing is pulled. act answers
    `actions/checkout` itself. The caller adds DOCKER_HOST of `scripts/testbed env` if there is one.
    """
    command = [str(gotools.path("act")), event, "--directory", str(workspace)]
    command += ["--workflows", str(workflow)]
    command += ["--platform", f"ubuntu-latest={base_images.RUNNER_IMAGE}"]
    command += ["--pull=false", "--network=host", "--rm", "--no-cache-server"]
    command += ["--action-cache-path", str(layout.cache_dir() / "act")]
    command += ["--job", job] if job else []
    command += ["--env-file", str(env_file)] if env_file else ["--env-file", "/dev/null"]
    command += (
        ["--secret-file", str(secret_file)] if secret_file else ["--secret-file", "/dev/null"]
    )
    return command
