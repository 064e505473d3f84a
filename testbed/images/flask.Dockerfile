# What a small model service starts from: Python, Flask and gunicorn, as Debian ships them.
FROM modelferry-testbed/base:trixie
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3-flask gunicorn python3-requests python3-pytest \
 && rm -rf /var/lib/apt/lists/*
