# The machine that act runs a job on: what the composite action needs of a hosted runner.
FROM modelferry-testbed/base:bookworm
RUN apt-get update \
 && apt-get install --yes --no-install-recommends bash curl git jq sudo \
 && cd /tmp && apt-get download docker.io && dpkg --extract docker.io_*.deb docker \
 && mv docker/usr/bin/docker /usr/local/bin/docker \
 && rm -rf docker docker.io_*.deb /var/lib/apt/lists/*
COPY buildx /usr/local/lib/docker/cli-plugins/docker-buildx
CMD ["bash"]
