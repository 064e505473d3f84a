from __future__ import annotations

import json

import pytest

from modelferry.apptest.ports import app_port, exposed_ports
from modelferry.errors import TestsFailed

BOTH = ["88/tcp", "9000/tcp"]


def config(ports: list[str], *created_by: str) -> bytes:
    return json.dumps(
        {
            "config": {"ExposedPorts": {port: {} for port in ports}},
            "history": [{"created_by": text} for text in created_by],
        }
    ).encode()


@pytest.mark.parametrize(
    ("document", "ports"),
    [
        (config(["88/tcp"]), (88,)),
        (config(["53/udp", "8080/tcp"]), (8080,)),
        (config(["9000/tcp", "88/tcp"]), (88, 9000)),  # nothing tells the order: by number
        (config(BOTH, "EXPOSE map[9000/tcp:{}]", "EXPOSE map[88/tcp:{}]"), (9000, 88)),  # BuildKit
        (config(BOTH, "EXPOSE [9000/tcp 88/tcp]"), (9000, 88)),  # a newer one
        (config(BOTH, "/bin/sh -c #(nop)  EXPOSE 9000", "CMD [x 88]"), (9000, 88)),  # the classic
        (config([]), ()),
        (b'{"config": null}', ()),
        (b"{}", ()),
    ],
)
def test_exposed_ports_are_in_the_dockerfiles_order(document, ports):
    assert exposed_ports(document) == ports


def test_the_input_goes_before_the_image():
    assert app_port(5000, config(["88/tcp"])) == 5000
    assert app_port(None, config(["88/tcp"])) == 88


def test_without_either_the_error_names_both():
    with pytest.raises(TestsFailed) as caught:
        app_port(None, b"{}")
    assert "`port`" in caught.value.do
    assert "EXPOSE" in caught.value.do
