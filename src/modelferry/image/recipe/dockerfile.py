"""What a Dockerfile takes from outside its context: the images it names, and what may change
behind an address. Read before anything is built; the reference is Docker's "Dockerfile reference".
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

_FRONTEND = re.compile(r"#\s*syntax\s*=\s*(\S+)\s*$", re.IGNORECASE)
_FRONTEND_ARGUMENT = "BUILDKIT_SYNTAX"
_DIRECTIVE = re.compile(r"#\s*\w+\s*=")
_HEREDOC = re.compile(r"(?:^|(?<=\s))\d*<<-?([\"']?)(\w+)\1(?=\s|$)")  # a shell word
_VARIABLE = re.compile(
    r"\\(?P<escaped>.)|\$(?:\{(?P<braced>\w+)(?::(?P<kind>[-+])(?P<other>[^}]*))?\}|(?P<plain>\w+))"
)
_MOUNT_FROM = re.compile(r"--mount=\S*?\bfrom=([^,\s]+)")
_COPY_FROM = re.compile(r"--from=(\S+)")
_ADDRESS = re.compile(r"(?:https?://|git@|git://|ssh://)\S+|\S+\.git(?:#\S*)?")

Variables = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """`images` are references as written, variables filled in; `base` is the one that the built
    stage rests upon, None where that is `scratch`. `loose` says in words what may give other
    content although the Dockerfile stays as it is."""

    base: str | None
    images: tuple[str, ...]
    loose: tuple[str, ...]


class _EndlessError(ValueError):
    pass


@dataclass(slots=True)
class _Stage:
    name: str
    base: str
    sources: list[str] = field(default_factory=list)  # stages, images and named contexts
    loose: list[str] = field(default_factory=list)


def read_recipe(
    text: str,
    targets: Sequence[str | None] = (None,),
    *,
    build_args: Variables,
    contexts: Sequence[str] = (),
) -> Recipe:
    """Of the stages that `targets` need; None is the last one, and the first target is the one
    whose base is told. `contexts`: names of build contexts, which win over images."""
    try:
        stages = _stages(text, build_args)
    except _EndlessError as error:
        return Recipe(base=None, images=(), loose=(str(error),))
    frontend = build_args.get(_FRONTEND_ARGUMENT) or _frontend(text)
    if not stages:
        return Recipe(base=None, images=(), loose=("it has no FROM",))
    places = {stage.name: place for place, stage in enumerate(stages) if stage.name}
    images: set[str] = {frontend} if frontend else set()
    loose: list[str] = []
    seen: set[int] = set()
    waiting = [_find(target, stages, places) for target in targets]
    while waiting:
        place = waiting.pop()
        if place is None or place in seen:
            continue
        seen.add(place)
        stage = stages[place]
        loose += stage.loose
        for source in (stage.base, *stage.sources):
            inner = _inner(source, place, places)
            if inner is not None:
                waiting.append(inner)
            elif source not in contexts and source != "scratch":
                images.add(source)
    return Recipe(
        base=_bottom(_find(targets[0], stages, places), stages, places),
        images=tuple(sorted(images)),
        loose=tuple(loose),
    )


def _frontend(text: str) -> str:
    """`# syntax=` counts only before anything else but other directives."""
    for line in text.splitlines():
        if found := _FRONTEND.match(line):
            return found[1]
        if not _DIRECTIVE.match(line):
            break
    return ""


def _stages(text: str, build_args: Variables) -> list[_Stage]:
    from dockerfile_parse import DockerfileParser

    content = io.BytesIO(_without_heredocs(text).encode())
    parser = DockerfileParser(fileobj=content)  # pyright: ignore[reportArgumentType] - it reads bytes
    stages: list[_Stage] = []
    outside: dict[str, str] = {}  # ARGs before the first FROM, the only ones that FROM knows
    inside: dict[str, str] = {}
    for instruction in parser.structure:
        name, value = instruction["instruction"], instruction["value"]
        where = f"line {instruction['startline'] + 1}"
        if name == "ARG":
            _declare(value, inside if stages else outside, outside, build_args)
        elif name == "FROM":
            stages.append(_from(value, where, outside))
            inside = {}
        elif name == "ENV" and stages:
            _set(value, inside)
        elif name == "ONBUILD" and stages:
            stages[-1].loose.append(f"{where}: ONBUILD acts in another build")
        elif stages and name in ("COPY", "ADD", "RUN"):
            _take(stages[-1], name, value, where, inside)
    return stages


def _without_heredocs(text: str) -> str:
    """Their lines may look like instructions and are none."""
    kept: list[str] = []
    until: list[str] = []
    for line in text.splitlines():
        if until:
            if line.strip() == until[0]:
                until.pop(0)
            continue
        kept.append(line)
        if re.match(r"\s*(?:RUN|COPY|ADD)\b", line, re.IGNORECASE):
            until = [found[1] for found in _HEREDOC.findall(line)]
    if until:
        raise _EndlessError(f"the heredoc {until[0]} has no end")
    return "\n".join(kept) + "\n"


def _declare(value: str, into: dict[str, str], outside: Variables, build_args: Variables) -> None:
    for word in value.split():
        name, equals, default = word.partition("=")
        if name in build_args:
            into[name] = build_args[name]
        elif equals:
            into[name] = _fill(default.strip("\"'"), into) or ""
        elif name in outside:
            into[name] = outside[name]


def _from(value: str, where: str, outside: Variables) -> _Stage:
    words = [word for word in value.split() if not word.startswith("--")]
    reference = _fill(words[0], outside) if words else None
    name = words[2].lower() if len(words) == 3 and words[1].lower() == "as" else ""
    stage = _Stage(name=name, base=reference or "")
    if not reference:
        stage.loose.append(f"{where}: FROM {value} names an image that is not known beforehand")
        stage.base = "scratch"
    return stage


def _take(stage: _Stage, name: str, value: str, where: str, inside: Variables) -> None:
    if name == "RUN":
        sources = _MOUNT_FROM.findall(value)
    else:
        sources = _COPY_FROM.findall(value)[:1]
        if name == "ADD" and "--checksum=" not in value:
            stage.loose += _loose_addresses(value, where, inside)
    for source in sources:
        filled = _fill(source, inside)
        if filled:
            stage.sources.append(filled)
        else:
            stage.loose.append(f"{where}: {source} is not known beforehand")


def _loose_addresses(value: str, where: str, inside: Variables) -> Iterator[str]:
    for word in _words(value)[:-1]:
        filled = _fill(word, inside)
        if filled is None:
            yield f"{where}: ADD {word} is not known beforehand"
        elif _ADDRESS.fullmatch(filled):
            yield f"{where}: ADD {filled} has no --checksum"


def _words(value: str) -> list[str]:
    """Of the shell form, or of the one in JSON."""
    words = [word for word in value.split() if not word.startswith("--")]
    try:
        listed = json.loads(" ".join(words))
    except ValueError:
        return [word.strip("\"'") for word in words]
    return [str(word) for word in listed] if isinstance(listed, list) else words


def _set(value: str, into: dict[str, str]) -> None:
    """ENV, in both its forms."""
    name, space, rest = value.partition(" ")
    if "=" not in name and space:
        into[name] = _fill(rest, into) or ""
        return
    for word in value.split():
        name, equals, given = word.partition("=")
        if equals:
            into[name] = _fill(given.strip("\"'"), into) or ""


def _fill(text: str, variables: Variables) -> str | None:
    """None where a variable has no value: BuildKit would give it one (TARGETARCH), or fail."""
    missing = False

    def value(found: re.Match[str]) -> str:
        nonlocal missing
        if found["escaped"]:
            return found["escaped"]
        known = variables.get(found["braced"] or found["plain"], "")
        if found["kind"] == "+":
            return found["other"] if known else ""
        if not known and found["kind"] == "-":
            return found["other"]
        missing = missing or not known
        return known

    filled = _VARIABLE.sub(value, text)
    return None if missing else filled


def _find(target: str | None, stages: Sequence[_Stage], places: Mapping[str, int]) -> int | None:
    if target is None:
        return len(stages) - 1
    if target.isdigit() and int(target) < len(stages):
        return int(target)
    return places.get(target.lower())


def _inner(source: str, place: int, places: Mapping[str, int]) -> int | None:
    """The earlier stage that `source` means, by name or number."""
    if source.isdigit():
        return int(source) if int(source) < place else None
    found = places.get(source.lower())
    return found if found is not None and found < place else None


def _bottom(place: int | None, stages: Sequence[_Stage], places: Mapping[str, int]) -> str | None:
    while place is not None:
        base = stages[place].base
        inner = _inner(base, place, places)
        if inner is None:
            return None if base == "scratch" else base
        place = inner
    return None
