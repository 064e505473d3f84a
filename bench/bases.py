"""The base image as it is, and a larger one."""

from __future__ import annotations

import shutil

from bench.cloud import Cloud
from bench.data import ModelData, chunks
from bench.session import GIB


def enlarged(cloud: Cloud, added_bytes: int) -> str:
    """Its name; it is in the registry and in the engine."""
    if not added_bytes:
        return cloud.base
    name = f"{cloud.registry}/bench/base:large"
    folder = cloud.folder / "work" / "base"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text(f"FROM {cloud.base}\nCOPY filling /opt/filling\n")
    with (folder / "filling").open("wb") as file:
        for chunk in chunks(cloud.blocks, ModelData(kind="fp16", size_bytes=added_bytes), 0):
            file.write(chunk)
    cloud.docker("buildx", "build", "--builder", "default", "--tag", name, folder)
    cloud.docker("push", "--quiet", name)
    shutil.rmtree(folder)
    return name


def said(added_bytes: int) -> str:
    return f"{0.28 + added_bytes / GIB:.2g} GiB"
