"""An app out of an engine, as in a run that has no registry to compare with."""

from __future__ import annotations

from pathlib import Path

from modelferry.engine import Engine
from modelferry.image.app.layers import SavedApp, app_in_engine
from modelferry.image.released import Released
from modelferry.image.workers import Stop


def whole_app(engine: Engine, image_id: str, folder: Path, *, compress: bool = True) -> SavedApp:
    return app_in_engine(
        engine,
        image_id,
        folder,
        released=Released(),
        read_range=None,
        travels=compress,
        run_label="",
        stop=Stop(),
    )
