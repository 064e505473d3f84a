# Stands in, under its name, for the official Python image that the action's own Dockerfile is built from:
# `python`, `python3` and `pip` answer from /usr/local/bin as there. The version is Debian's.
FROM modelferry-testbed/base:trixie
RUN ln -s /usr/bin/python3 /usr/local/bin/python3 \
 && ln -s /usr/bin/python3 /usr/local/bin/python \
 && ln -s /usr/bin/pip3 /usr/local/bin/pip \
 && ln -s /usr/bin/pip3 /usr/local/bin/pip3
CMD ["python3"]
