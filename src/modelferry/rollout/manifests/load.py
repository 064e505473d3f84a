"""The user's manifests → objects that know their file and line. Nothing is asked of a cluster."""

from __future__ import annotations

import codecs
import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelferry.errors import Annotation, Fault, InputError
from modelferry.rollout.manifests import text_fields
from modelferry.rollout.manifests.variables import replacer
from modelferry.rollout.manifests.yaml_tree import Tree, TreeError, documents
from modelferry.rollout.objects.fields import Path as FieldPath

_SUFFIXES = (".yaml", ".yml", ".json")
_NOT_RENDERED = ("kustomization.yaml", "kustomization.yml", "Kustomization", "Chart.yaml")
_RENDER = "charts and kustomizations are not rendered here: render them in a step before"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestObject:
    """One object as it will be sent. `lines` knows the line of every field that was written."""

    body: Mapping[str, Any]
    file: str  # relative to the workspace
    line: int
    at: FieldPath = ()  # where in its document it stands: not () in a `kind: List`
    lines: Mapping[FieldPath, int]

    @property
    def api_version(self) -> str:
        return self.body["apiVersion"]

    @property
    def kind(self) -> str:
        return self.body["kind"]

    @property
    def name(self) -> str:
        return self.body["metadata"]["name"]

    @property
    def namespace(self) -> str | None:
        return self.body["metadata"].get("namespace")

    @property
    def label(self) -> str:
        return f"{self.kind.lower()}/{self.name}"

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"

    def line_of(self, *path: str | int) -> int:
        """The line of a field, or of what holds it when it was not written."""
        for length in range(len(path), -1, -1):
            if line := self.lines.get((*self.at, *path[:length])):
                return line
        return self.line

    def changed(self, body: Mapping[str, Any]) -> ManifestObject:
        return replace(self, body=body)


@dataclass(frozen=True, slots=True)
class Problem:
    file: str
    line: int
    text: str


class ManifestError(InputError):
    """Everything wrong with the manifests, each with its file and line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        first, *more = (
            Fault(
                name="manifests",
                given=None,
                allowed=f"{problem.file}:{problem.line}: {problem.text}",
            )
            for problem in problems
        )
        super().__init__(first, *more)
        self.annotations = tuple(
            Annotation(file=problem.file, line=problem.line, title="Manifest", message=problem.text)
            for problem in problems
        )


def load(
    patterns: Sequence[str],
    workspace: Path,
    *,
    namespace: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> tuple[ManifestObject, ...]:
    """In the order of `patterns`, files of one pattern sorted. Raises InputError with everything
    that is wrong. With `namespace`, an object that names another one is refused."""
    substitute = replacer(variables or {})
    problems: list[Problem] = []
    objects: list[ManifestObject] = []
    found_files = files(patterns, workspace)
    charts = {path.parent for path in found_files if path.name in _NOT_RENDERED}
    for path in found_files:
        file = _shown(path, workspace)
        if path.name in _NOT_RENDERED:
            problems.append(Problem(file, 1, _RENDER))
        if charts.intersection(path.parents):
            continue  # what is said of a chart is enough
        try:
            for tree in documents(_text(path), substitute):
                found = list(_objects(tree, file))
                problems += [entry for entry in found if isinstance(entry, Problem)]
                objects += [entry for entry in found if isinstance(entry, ManifestObject)]
        except TreeError as error:
            problems.append(Problem(file, error.line, error.problem))
    problems += _misread(objects)
    problems += duplicates(objects, namespace)
    problems += _strangers(objects, namespace)
    if problems:
        raise ManifestError(problems)
    if not objects:
        raise InputError(
            Fault(name="manifests", given=" ".join(patterns), allowed="no object in these files")
        )
    return tuple(objects)


def files(patterns: Sequence[str], workspace: Path) -> tuple[Path, ...]:
    """Each file once. A folder gives its .yaml, .yml and .json files at any depth, but for
    hidden ones. Raises InputError naming every pattern that matches nothing."""
    found: dict[Path, None] = {}
    missing: list[Fault] = []
    for pattern in patterns:
        matched = list(_matches(pattern, workspace))
        if not matched:
            missing.append(
                Fault(name="manifests", given=pattern, allowed="no such file, folder or glob match")
            )
        found |= dict.fromkeys(matched)
    if missing:
        raise InputError(*missing)
    return tuple(found)


def _matches(pattern: str, workspace: Path) -> Iterator[Path]:
    exact = workspace / pattern
    # unlike Path.glob, it takes absolute patterns and passes over hidden files
    globbed = glob.glob(str(exact), recursive=True)  # noqa: PTH207
    hits = [exact] if exact.exists() else sorted(map(Path, globbed))
    for hit in hits:
        if hit.is_dir():
            yield from sorted(
                path
                for path in hit.rglob("*")
                if path.suffix in _SUFFIXES
                and path.is_file()
                and not any(part.startswith(".") for part in path.relative_to(hit).parts)
            )
        else:
            yield hit


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TreeError(1, f"cannot be read: {error.strerror or error}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        said = "is UTF-16: save it as UTF-8" if utf16 else f"is no UTF-8 text: {error.reason}"
        raise TreeError(line, said) from error


def _shown(path: Path, workspace: Path) -> str:
    return str(path.relative_to(workspace) if path.is_relative_to(workspace) else path)


def _objects(tree: Tree, file: str, at: FieldPath = ()) -> Iterator[ManifestObject | Problem]:
    value: Any = tree.value
    for key in at:
        value = value[key]
    line = tree.lines.get(at, tree.line)
    if value is None:
        return  # nothing between two `---`
    if not isinstance(value, dict):
        yield Problem(file, line, "a mapping with apiVersion, kind and metadata is wanted here")
    elif str(value.get("kind", "")).endswith("List") and isinstance(value.get("items"), list):
        for index, item in enumerate(value["items"]):
            _name_kind(item, value)
            yield from _objects(tree, file, (*at, "items", index))
    elif fault := _fault(value):
        yield Problem(file, line, fault)
    else:
        yield ManifestObject(body=value, file=file, line=line, at=at, lines=tree.lines)


def _name_kind(item: Any, of_list: Mapping[str, Any]) -> None:
    """What the API lists (`kind: ConfigMapList`) leaves out in each item what the list says."""
    kind = of_list["kind"].removesuffix("List")
    if kind and isinstance(item, dict):
        item.setdefault("apiVersion", of_list.get("apiVersion"))
        item.setdefault("kind", kind)


def _fault(body: dict[str, Any]) -> str | None:
    metadata = body.get("metadata")
    within = metadata if isinstance(metadata, dict) else {}
    wanted = {
        "apiVersion": body.get("apiVersion"),
        "kind": body.get("kind"),
        "metadata.name": within.get("name"),
    }
    missing = [name for name, value in wanted.items() if value in (None, "")]
    texts = wanted | {"metadata.namespace": within.get("namespace")}
    no_text = [name for name, value in texts.items() if not isinstance(value, str | None)]
    if not missing and not no_text:
        return None
    named = f" in this {body['kind']}" if isinstance(body.get("kind"), str) else ""
    told = f"{' and '.join(missing)} missing{named}" if missing else ""
    if no_text:
        told += ("; " if told else "") + f"{' and '.join(no_text)} must be text{named}: quote it"
    if "generateName" in within:
        told += "; generateName cannot be followed, give it a name"
    return told


def _misread(objects: Sequence[ManifestObject]) -> Iterator[Problem]:
    for found in objects:
        for path, text in text_fields.misread(found.body):
            where = f"{found.label} {text_fields.shown(path)}"
            yield Problem(found.file, found.line_of(*path), f"{where} {text}")


def duplicates(objects: Sequence[ManifestObject], namespace: str | None) -> Iterator[Problem]:
    """`namespace` is where those go that name none, as far as it is known."""
    seen: dict[tuple[str, str, str | None, str], ManifestObject] = {}
    for found in objects:
        group, where = found.api_version.rpartition("/")[0], found.namespace or namespace
        first = seen.setdefault((group, found.kind, where, found.name), found)
        if first is not found:
            text = f"{found.label} stands in {first.place} already"
            yield Problem(found.file, found.line, text)


def _strangers(objects: Sequence[ManifestObject], namespace: str | None) -> Iterator[Problem]:
    for found in objects:
        if namespace and found.namespace not in (None, namespace):
            yield Problem(
                found.file,
                found.line_of("metadata", "namespace"),
                f"{found.label} is for namespace {found.namespace}, `namespace` says {namespace}",
            )
