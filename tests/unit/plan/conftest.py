"""Inputs by name → plan, or the faults, over a minimal delivery that has none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from modelferry.errors import Fault, InputError
from modelferry.inputs import NAMES, from_values
from modelferry.plan import Plan, RunContext, make_plan

MINIMAL = {
    "registry": "reg.azurecr.io",
    "repository": "team/score",
    "manifests": "k8s/",
}

PlanOf = Callable[..., Plan]
FaultsOf = Callable[..., tuple[Fault, ...]]


@pytest.fixture
def context() -> RunContext:
    return RunContext(
        workspace=Path("/workspace"),
        temp=Path("/temp/run"),
        run_id="42",
        run_attempt=1,
        repository="team/app",
        commit="0123456789abcdef0123456789abcdef01234567",
        branch="feature/lynx",
        server_url="https://github.com",
    )


@pytest.fixture
def plan_of(context: RunContext) -> PlanOf:
    def make(given: Mapping[str, str] | None = None, **environ: str) -> Plan:
        values = {**MINIMAL, **(given or {})}
        assert NAMES.issuperset(values)
        return make_plan(from_values(values), context, environ=environ)

    return make


@pytest.fixture
def faults_of(plan_of: PlanOf) -> FaultsOf:
    """Every fault names an input that exists."""

    def make(given: Mapping[str, str], **environ: str) -> tuple[Fault, ...]:
        with pytest.raises(InputError) as caught:
            plan_of(given, **environ)
        assert {fault.name.partition(" line ")[0] for fault in caught.value.faults} <= NAMES
        return caught.value.faults

    return make
