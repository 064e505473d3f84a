from contextlib import suppress
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.errors import BuildError
from modelferry.image.layer import Folder
from modelferry.image.layer_entries import LayerEntries, Trace, Traces
from modelferry.image.placement import Fit, fit_model, paths_asked, unread_layers
from modelferry.values import Digest

GONE = Trace(whiteout=True)
FILE = Trace("file", 0o644)


def folder(mode: int = 0o755, *, opaque: bool = False, whiteout: bool = False) -> Trace:
    return Trace("folder", mode, opaque=opaque, whiteout=whiteout)


def link(target: str) -> Trace:
    return Trace("link", 0o777, target=target)


def stack(*layers: Traces) -> list[LayerEntries]:
    return [
        LayerEntries(Digest(f"layer {number}"), record=None, scan=lambda traces=traces: traces)
        for number, traces in enumerate(layers)
    ]


def fit(path: str, *layers: Traces, base: int | None = 0) -> Fit:
    return fit_model([PurePosixPath(path)], stack(*layers), base_layers=base)


def placed(path: str, *layers: Traces, base: int | None = None) -> tuple[str, list[Folder]]:
    (placement,) = fit(path, *layers, base=base).placements.values()
    return str(placement.path), list(placement.folders)


BASE: Traces = {
    "/usr": folder(),
    "/usr/lib": folder(0o751),
    "/lib": link("usr/lib"),
    "/run": folder(),
    "/var": folder(),
    "/var/run": link("/run"),
    "/tmp": folder(0o1777),
    "/home": folder(),
    "/home/app": Trace("folder", 0o700, 1234, 5678, 1_000_000_000),
    "/etc": folder(),
    "/etc/passwd": FILE,
    "/etc/alias": link("passwd"),
    "/gone": link("/not/there"),
    "/up": link("usr/lib/../../tmp"),
    "/round": link("about"),
    "/about": link("round"),
    "/model.onnx": link("/model/v1.onnx"),
}


@pytest.mark.parametrize(
    ("wanted", "real"),
    [
        ("/tmp/m", "/tmp/m"),
        ("/new/deep/m", "/new/deep/m"),
        ("/lib/models/m", "/usr/lib/models/m"),
        ("/var/run/m", "/run/m"),
        ("/gone/m", "/not/there/m"),
        ("/up/m", "/tmp/m"),
        ("/etc/passwd", "/etc/passwd"),  # a file may be replaced
        ("/model.onnx", "/model.onnx"),  # and so may a link to one
    ],
)
def test_parents_are_followed_and_the_file_itself_is_not(wanted: str, real: str) -> None:
    assert placed(wanted, BASE)[0] == real


@pytest.mark.parametrize("wanted", ["/etc/passwd/m", "/etc/alias/m"])
def test_a_file_is_no_folder(wanted: str) -> None:
    with pytest.raises(BuildError, match="/etc/passwd is a file there"):
        placed(wanted, BASE)


def test_a_folder_is_not_replaced_by_a_file() -> None:
    with pytest.raises(BuildError, match="it is a folder there") as caught:
        placed("/home/app", BASE)
    assert "=> /home/app/" in caught.value.do


def test_links_in_a_circle_are_named() -> None:
    with pytest.raises(BuildError, match="links in a circle"):
        placed("/round/m", BASE)


def test_two_names_of_one_place_are_refused() -> None:
    paths = [PurePosixPath("/lib/m"), PurePosixPath("/usr/lib/m")]
    with pytest.raises(BuildError, match="are one place in the image: /usr/lib/m"):
        fit_model(paths, stack(BASE))


@pytest.mark.parametrize(
    ("file", "below"),
    [("/lib/a", "/usr/lib/a/b"), ("/usr/lib/a", "/lib/a/b/c"), ("/var/run/a", "/run/a/b")],
)
def test_a_file_of_the_model_is_no_folder_of_another(file: str, below: str) -> None:
    """Neither was written inside the other: the image's links make it so."""
    paths = [PurePosixPath(below), PurePosixPath(file)]
    with pytest.raises(BuildError, match=f"a file of the model: {file}"):
        fit_model(paths, stack(BASE))


def test_a_place_that_no_container_shows_is_refused() -> None:
    with pytest.raises(BuildError, match=r"/shared/m is /dev/shm/m .* has a mount at /dev"):
        placed("/shared/m", BASE, {"/shared": link("/dev/shm")})


def test_folders_are_as_the_image_below_has_them() -> None:
    assert placed("/home/app/new/m", BASE)[1] == [
        Folder(path=PurePosixPath("/home")),
        Folder(
            path=PurePosixPath("/home/app"), mode=0o700, uid=1234, gid=5678, mtime_s=1_000_000_000
        ),
        Folder(path=PurePosixPath("/home/app/new")),
    ]


def test_a_folder_that_a_later_layer_makes_is_left_to_it() -> None:
    found = fit("/work/m", BASE, {"/work": folder(0o700)}, base=1)
    assert (found.seam, found.notice) == (1, "")
    assert placed("/work/m", BASE, {"/work": folder(0o700)}, base=1)[1][0].mode == 0o755
    assert placed("/work/m", BASE, {"/work": folder(0o700)})[1][0].mode == 0o700


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ({"/srv/m": FILE}, "has a file at that path"),
        ({"/srv/m": link("/x")}, "has a file at that path"),
        ({"/srv/m": GONE}, "deletes that path"),
        ({"/srv": GONE}, "deletes what was in /srv"),
        ({"/srv": folder(opaque=True)}, "deletes what was in /srv"),
        ({"/srv": folder(whiteout=True)}, "deletes what was in /srv"),
        ({"/": Trace(opaque=True)}, "deletes what was in /"),
    ],
)
def test_nothing_above_hides_the_model(layer: Traces, reason: str) -> None:
    found = fit("/srv/m", {}, {"/srv": folder()}, layer, {"/srv/other": FILE, "/srv": folder()})
    assert found.seam == 3
    assert found.notice == f"/srv/m lies above layer 2, which {reason}"


def test_a_parent_that_becomes_a_link_or_stops_being_one() -> None:
    to_link: Traces = {"/srv": link("/data"), "/data": folder()}
    assert fit("/srv/m", {"/srv": folder()}, to_link).seam == 0  # its place is /data/m
    assert placed("/srv/m", {"/srv": folder()}, to_link)[0] == "/data/m"
    found = fit("/srv/m", {"/srv": link("/data")}, {"/srv": folder()})
    assert (found.seam, found.notice[-22:]) == (2, "which makes /srv a folder"[-22:])
    assert fit("/srv/m", {"/srv": FILE}, {"/srv": GONE}, {"/srv": folder()}).seam == 2


def test_a_layer_that_was_recorded_is_not_read() -> None:
    paths = [PurePosixPath("/lib/models/m")]
    layers = [BASE, {"/usr/lib/models": folder(0o700)}, {"/code": folder()}]
    first = fit_model(paths, stack(*layers), base_layers=1)

    def never() -> Traces:
        raise AssertionError("it is recorded")

    recorded = [
        LayerEntries(diff_id, record=record, scan=never)
        for diff_id, record in first.records.items()
    ]
    assert fit_model(paths, recorded, base_layers=1) == first
    assert unread_layers(recorded, paths_asked(paths)) == ()
    fresh = LayerEntries(Digest("new"), record=None, scan=dict)
    assert unread_layers([*recorded, fresh], paths_asked(paths)) == (fresh,)


def test_a_new_link_leads_where_the_record_says_nothing() -> None:
    """Then the layers below are read again, rather than taken for empty."""
    paths = [PurePosixPath("/model/m")]
    below = {"/data": folder(0o700)}
    first = fit_model(paths, stack(below))
    (record,) = first.records.values()
    again = [
        LayerEntries(Digest("layer 0"), record=record, scan=lambda: below),
        *stack({"/model": link("/data")}),
    ]
    (placement,) = fit_model(paths, again).placements.values()
    assert placement.folders == (Folder(path=PurePosixPath("/data"), mode=0o700),)


def test_what_is_asked_of_layers() -> None:
    paths = [PurePosixPath("/a/b/m")]
    assert paths_asked(paths) == {"/", "/a", "/a/b", "/a/b/m"}


# A world of few paths, where everything that can happen soon does.
PATHS = ("/a", "/a/b", "/a/b/m", "/c", "/c/b")
TRACES = (
    folder(),
    folder(opaque=True),
    folder(whiteout=True),
    link("/c"),
    link("b"),
    FILE,
    GONE,
)
layers_strategy = st.lists(
    st.dictionaries(st.sampled_from(PATHS), st.sampled_from(TRACES), max_size=3), max_size=4
)


def flatten(layers: list[Traces]) -> dict[str, Trace]:
    """The image as a union file system shows it, written as plainly as can be."""
    image: dict[str, Trace] = {}
    for layer in layers:
        for path, trace in layer.items():
            own = trace.whiteout or trace.kind in ("link", "file")
            if own or trace.opaque:
                for below in [p for p in image if p.startswith(f"{path}/") or (own and p == path)]:
                    del image[below]
        image |= {path: trace for path, trace in layer.items() if trace.kind}
    return image


def sane(layer: Traces) -> bool:
    """No tar puts something below what it makes a link, a file or nothing."""
    return all(
        layer.get(str(parent), folder()).kind == "folder"
        for path in layer
        for parent in PurePosixPath(path).parents
        if str(parent) != "/"
    )


@given(layers_strategy, st.integers(0, 4))
def test_the_finished_image_has_the_model_and_is_else_the_same(
    layers: list[Traces], base: int
) -> None:
    layers = [layer for layer in layers if sane(layer)]
    try:
        found = fit("/a/b/m", *layers, base=base)
    except BuildError:
        return
    (placement,) = found.placements.values()
    model = {
        str(f.path): Trace("folder", f.mode, f.uid, f.gid, f.mtime_s) for f in placement.folders
    }
    model |= {str(placement.path): Trace("file", 0o600)}
    with_model = flatten([*layers[: found.seam], model, *layers[found.seam :]])
    without = flatten(layers)
    assert with_model[str(placement.path)].mode == 0o600
    kept = {p: (t.kind, t.mode, t.target) for p, t in with_model.items() if p in without}
    kept.pop(str(placement.path), None)
    wanted = {p: (t.kind, t.mode, t.target) for p, t in without.items()}
    wanted.pop(str(placement.path), None)
    assert kept == wanted
    added = set(with_model) - set(without)
    assert added <= {str(placement.path), *(str(f.path) for f in placement.folders)}


ASKED = st.sampled_from(["/a/b/m", "/a/m", "/a/b/m2", "/c/b/m", "/c/b/new/m", "/m"])


@given(layers_strategy, ASKED, ASKED)
def test_records_place_the_model_where_a_look_at_all_layers_does(
    layers: list[Traces], before: str, now: str
) -> None:
    """Whatever the model was called when they were made."""
    with suppress(BuildError):
        records = fit(before, *layers).records
        known = [
            LayerEntries(entries.diff_id, record=records[entries.diff_id], scan=entries.scanned)
            for entries in stack(*layers)
        ]
        assert outcome(now, known) == outcome(now, stack(*layers))


def outcome(path: str, layers: list[LayerEntries]) -> object:
    try:
        found = fit_model([PurePosixPath(path)], layers, base_layers=0)
    except BuildError as error:
        return str(error)
    return found.placements, found.seam, found.notice


@given(layers_strategy, st.sampled_from(PATHS))
def test_a_new_name_in_the_same_folder_reads_no_layer(layers: list[Traces], folder: str) -> None:
    def never() -> Traces:
        raise AssertionError("it is recorded")

    with suppress(BuildError):
        before = fit(f"{folder}/model_v1.bin", *layers)
        known = [
            LayerEntries(diff_id, record=record, scan=never)
            for diff_id, record in before.records.items()
        ]
        found = fit_model([PurePosixPath(f"{folder}/model_v2.bin")], known, base_layers=0)
        assert found.seam == before.seam
        after = [
            LayerEntries(diff_id, record=record, scan=never)
            for diff_id, record in found.records.items()
        ]
        fit_model([PurePosixPath(f"{folder}/v3/model.bin")], after, base_layers=0)
