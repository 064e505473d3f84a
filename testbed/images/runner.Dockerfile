# The machine that act runs a job on: what the composite action needs of a hosted runner.
FROM modelferry-testbed/base:trixie
RUN apt-get update \
 && apt-get install --yes --no-install-recommends bash curl docker-buildx docker-cli git jq sudo \
 && rm -rf /var/lib/apt/lists/*
CMD ["bash"]
