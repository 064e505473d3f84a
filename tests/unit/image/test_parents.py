from pathlib import PurePosixPath

import pytest

from modelferry.errors import BuildError
from modelferry.image.parents import Place, resolve

FOLDER = Place(is_folder=True, link_target=None)
FILE = Place(is_folder=False, link_target=None)


def link(target: str) -> Place:
    return Place(is_folder=False, link_target=PurePosixPath(target))


IMAGE = {
    PurePosixPath(path): place
    for path, place in {
        "/usr": FOLDER,
        "/usr/lib": FOLDER,
        "/lib": link("/usr/lib"),
        "/etc": FOLDER,
        "/etc/passwd": FILE,
        "/etc/alias": link("/etc/passwd"),
        "/gone": link("/not/there"),
        "/model": FOLDER,
        "/model/current": FOLDER,
        "/model/old.onnx": link("/model/v1.onnx"),
    }.items()
}


@pytest.mark.parametrize(
    ("wanted", "real"),
    [
        ("/model/a.onnx", "/model/a.onnx"),
        ("/new/deep/a.onnx", "/new/deep/a.onnx"),
        ("/lib/models/a.onnx", "/usr/lib/models/a.onnx"),
        ("/gone/a.onnx", "/not/there/a.onnx"),
        ("/etc/passwd", "/etc/passwd"),  # a file may be replaced
        ("/model/old.onnx", "/model/old.onnx"),  # and so may a link to one
    ],
)
def test_parents_are_followed_and_the_file_itself_is_not(wanted: str, real: str) -> None:
    assert resolve(PurePosixPath(wanted), IMAGE.get) == PurePosixPath(real)


@pytest.mark.parametrize("wanted", ["/etc/passwd/a.onnx", "/etc/alias/a.onnx"])
def test_a_file_is_no_folder(wanted: str) -> None:
    with pytest.raises(BuildError, match="/etc/passwd is a file there"):
        resolve(PurePosixPath(wanted), IMAGE.get)


def test_a_folder_is_not_replaced_by_a_file() -> None:
    with pytest.raises(BuildError, match="it is a folder there") as caught:
        resolve(PurePosixPath("/model/current"), IMAGE.get)
    assert "=> /model/current/" in caught.value.do
