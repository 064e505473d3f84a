"""Inputs → Plan: what this run will do, decided in pure code before anything is fetched."""

from modelferry.plan.context import run_context
from modelferry.plan.describe import describe
from modelferry.plan.make import make_plan
from modelferry.plan.secret_values import secrets
from modelferry.plan.spec import (
    REPORT,
    DeployPlan,
    ManagedTags,
    ModelPlan,
    Plan,
    PushPlan,
    RollbackPlan,
    RunContext,
    Stage,
)

__all__ = [
    "REPORT",
    "DeployPlan",
    "ManagedTags",
    "ModelPlan",
    "Plan",
    "PushPlan",
    "RollbackPlan",
    "RunContext",
    "Stage",
    "describe",
    "make_plan",
    "run_context",
    "secrets",
]
