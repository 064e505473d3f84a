"""An upload of the model that cannot succeed, while the app is still being built."""

from __future__ import annotations

import pytest

from modelferry.errors import FerryError
from modelferry.image.released import Released
from modelferry.last_release.destination import Destination
from modelferry.plan.spec import PushPlan
from modelferry.registry.access import RegistryAccess
from modelferry.registry.client import Registry
from tests.contracts.conftest import Connect, MakeYard
from tests.contracts.image_yard import SMALL
from tests.contracts.misbehaving_registry import REPOSITORY, serving, status

LINES = 100
SLOW = (
    f"RUN i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); j=0; "
    "while [ $j -lt 100000 ]; do j=$((j+1)); done; echo line $i; done"
)


def test_a_refused_upload_does_not_wait_for_the_app(
    connect: Connect, make_yard: MakeYard, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    yard = make_yard(connect("first"))
    yard.write("Dockerfile", f"{SMALL}COPY app.txt /srv/app.txt\n{SLOW}\n")
    with serving() as server:
        server.faults["PATCH"].extend([status(403)] * 100)
        access = RegistryAccess(host=server.host, username=None, password=None, plain_http=True)
        plan = PushPlan(access=access, repository=REPOSITORY, tags=("v1",))
        to = Destination(push=plan, registry=Registry(access), released=Released())
        with pytest.raises(FerryError, match=REPOSITORY) as raised:
            yard.build(yard.model("/model/m.onnx", size=3 << 20), destination=to)
    assert raised.value.stage == "push"
    assert not any(f"line {LINES}" in line for line in caplog.messages)
