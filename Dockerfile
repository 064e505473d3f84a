# The container action. GitHub gives it the workspace, the engine's socket and INPUT_*; it must run as root.
# The classic builder builds it too: no heredoc, no --mount, no COPY --link, no build argument.
FROM python:3.13-slim-trixie

# Debian keeps one version of a package in a suite, and the base image says which suite.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends docker-buildx docker-cli \
 && rm -rf /var/lib/apt/lists/*

# A venv of its own keeps clear of what a company's base image has installed.
# actions-toolkit brings a top-level package `tests`, which would shadow a user's.
COPY requirements/runtime.txt /app/requirements.txt
RUN python -m venv /app/.venv \
 && /app/.venv/bin/pip install --no-cache-dir --no-deps --require-hashes --only-binary=:all: \
      --requirement /app/requirements.txt \
 && rm -r /app/.venv/lib/python3.*/site-packages/tests
ENV PATH=/app/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

COPY entrypoint.py /app/
COPY src /app/src
RUN python -m compileall -q --invalidation-mode unchecked-hash /app/src

# By this label Modelferry knows its own image, and runs the users' tests in a container of it.
LABEL modelferry.role=action
ENTRYPOINT ["/app/entrypoint.py"]
