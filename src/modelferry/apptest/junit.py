"""JUnit XML, as pytest writes it in its xunit1 family, into counts and places."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from modelferry.errors import Annotation

LONGEST_MESSAGE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    name: str
    file: str | None  # relative to the folder the tests ran in
    line: int | None
    cause: str  # one line
    message: str

    def __str__(self) -> str:
        place = f" ({self.file}:{self.line})" if self.file and self.line else ""
        return f"{self.name}{place}: {self.cause}"

    def annotation(self) -> Annotation | None:
        if self.file is None:
            return None
        return Annotation(file=self.file, line=self.line, title=self.name, message=self.message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    total: int
    skipped: int
    failures: tuple[Failure, ...]


def read_junit(xml: bytes) -> Suite:
    """Raises ValueError when it is no JUnit XML."""
    import junitparser

    class Case(junitparser.TestCase):
        file = junitparser.Attr()
        line = junitparser.IntAttr()

    try:
        root = junitparser.JUnitXml.fromstring(xml)
    except (junitparser.JUnitXmlError, SyntaxError) as error:  # ElementTree's ParseError is one
        raise ValueError(str(error)) from error
    suites = [root] if isinstance(root, junitparser.TestSuite) else list(root)
    tests: dict[tuple[str | None, str | None], list[Case]] = {}
    for suite in suites:
        for case in suite.iterchildren(Case):
            tests.setdefault((case.classname, case.name), []).append(case)
    # One test may stand there twice: failed, and failed again while being torn down.
    bad = [
        next(case for case in cases if case.is_failure or case.is_error)
        for cases in tests.values()
        if any(case.is_failure or case.is_error for case in cases)
    ]
    return Suite(
        total=len(tests),
        skipped=sum(all(case.is_skipped for case in cases) for cases in tests.values()),
        failures=tuple(
            _failure(case.name or "a test", case.file, case.line, case.result[0]) for case in bad
        ),
    )


def _failure(name: str, file: str | None, line: int | None, result: object) -> Failure:
    message: str = getattr(result, "message", None) or ""
    text: str = getattr(result, "text", None) or ""
    return Failure(
        name=name,
        file=file,
        line=_line(file, line, text),
        cause=_cause(message, text),
        message=(text or message)[-LONGEST_MESSAGE:],
    )


def _line(file: str | None, defined_at: int | None, text: str) -> int | None:
    """The test's own line in the traceback, which begins there, else where the test is defined
    (counted from 0)."""
    places = re.findall(rf"^{re.escape(file)}:(\d+):", text, re.MULTILINE) if file else ()
    if places:
        return int(places[0])
    return None if defined_at is None else defined_at + 1


def _cause(message: str, text: str) -> str:
    """pytest tells what a module that cannot be imported died of in the text alone, after `E`."""
    told = re.findall(r"^E +(\S.*)", text, re.MULTILINE)
    first = told[-1] if message == "collection failure" and told else message.partition("\n")[0]
    return first.removeprefix("AssertionError: ") or "no reason given"


def in_workspace(
    found: Annotation, workspace: Path, folders: tuple[Path, ...]
) -> Annotation | None:
    """Tests inside an image name files by the image's paths: the same file in the workspace, below
    one of `folders`, with as much of its path as is there; None when it is nowhere."""
    parts = PurePosixPath(found.file).parts
    for start in range(len(parts)):
        for folder in folders:
            file = (folder / PurePosixPath(*parts[start:])).resolve()
            if file.is_file() and file.is_relative_to(workspace.resolve()):
                return replace(found, file=str(file.relative_to(workspace.resolve())))
    return None
