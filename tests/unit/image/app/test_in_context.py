from pathlib import Path, PurePosixPath

import pytest

from modelferry.artifacts import LocalFile, ModelFile
from modelferry.errors import BuildError, Cancelled
from modelferry.image.app.in_context import files_in_context


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "app.py").write_text("theirs")
    return folder


def fetched(tmp_path: Path, name: str, target: str) -> LocalFile:
    local = tmp_path / f"spool-{name}"
    local.write_bytes(b"weights")
    local.chmod(0o600)
    file = ModelFile(
        uri=f"s3://b/{name}",
        image_path=PurePosixPath(target),
        size_bytes=7,
        etag=None,
        version_id=None,
        modified=None,
        source_line=1,
    )
    return LocalFile(file=file, path=local)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_files_are_there_under_their_names_in_the_image_and_gone_afterwards(
    tmp_path: Path, context: Path
) -> None:
    with files_in_context(
        (fetched(tmp_path, "a.bin", "/model/renamed.onnx"),), context, context / "Dockerfile"
    ):
        placed = context / "renamed.onnx"
        assert placed.read_bytes() == b"weights"
        assert placed.stat().st_mode & 0o777 == 0o644
    assert names(context) == {"app.py"}
    assert (tmp_path / "spool-a.bin").read_bytes() == b"weights"


def test_they_are_gone_after_a_failure_too(tmp_path: Path, context: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        files_in_context((fetched(tmp_path, "a", "/model/a"),), context, context / "Dockerfile"),
    ):
        raise KeyboardInterrupt
    assert names(context) == {"app.py"}


def test_a_cancel_that_comes_while_they_are_placed_leaves_none(
    tmp_path: Path, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel(*_: object) -> None:
        raise Cancelled("by a signal")

    files = (fetched(tmp_path, "a", "/model/a"),)
    monkeypatch.setattr(Path, "chmod", cancel)
    with (
        pytest.raises(Cancelled),
        files_in_context(files, context, context / "Dockerfile"),
    ):
        pytest.fail("must not be entered")
    assert names(context) == {"app.py"}


@pytest.mark.parametrize("dangling", [False, True])
def test_nothing_of_the_users_is_overwritten(tmp_path: Path, context: Path, dangling: bool) -> None:
    if dangling:
        (context / "app.py").unlink()
        (context / "app.py").symlink_to("nowhere")
    files = (fetched(tmp_path, "a", "/model/a"), fetched(tmp_path, "b", "/model/app.py"))
    with pytest.raises(BuildError, match=r"app\.py, where something is"):  # noqa: SIM117
        with files_in_context(files, context, context / "Dockerfile"):
            pytest.fail("must not be entered")
    assert names(context) == {"app.py"}
    assert dangling or (context / "app.py").read_text() == "theirs"


def test_two_files_of_one_name_are_refused(tmp_path: Path, context: Path) -> None:
    files = (fetched(tmp_path, "a", "/one/x"), fetched(tmp_path, "b", "/two/x"))
    with (
        pytest.raises(BuildError, match="where another file of the model is"),
        files_in_context(files, context, context / "Dockerfile"),
    ):
        pytest.fail("must not be entered")
    assert names(context) == {"app.py"}


@pytest.mark.parametrize(
    ("ignore", "kept_out"),
    [
        ("**/*.bin\n", True),
        ("# all\n*\n", True),
        ("*\n!model.bin\n", False),
        ("Model.bin\n", False),
        ("[^a]odel.bin\n", True),
        ("./model.bin\n", True),
        ("data\n", False),
    ],
)
def test_a_file_that_dockerignore_keeps_out_is_refused(
    tmp_path: Path, ignore: str, kept_out: bool
) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / ".dockerignore").write_text(ignore)
    files = (fetched(tmp_path, "a.bin", "/model/model.bin"),)
    placing = files_in_context(files, context, context / "Dockerfile")
    if kept_out:
        with (
            pytest.raises(BuildError, match=r"model\.bin in the context, and \.dockerignore"),
            placing,
        ):
            pass
    else:
        with placing:
            assert (context / "model.bin").exists()
    assert not (context / "model.bin").exists()


def test_the_dockerfiles_own_ignore_file_wins(tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / ".dockerignore").write_text("*.bin\n")
    (context / "Dockerfile.dockerignore").write_text("data\n")
    files = (fetched(tmp_path, "a.bin", "/model/model.bin"),)
    with files_in_context(files, context, context / "Dockerfile"):
        assert (context / "model.bin").exists()
