"""Every error a stage may end with, and the exit status it carries (docs/exit-statuses.md).

FerryError
├── InputError 2         ├── TestsFailed 6
├── IdentityError 3      ├── RegistryError 7
├── ModelError 4         ├── RolloutError 8
│   ├── ModelNotFound    │   └── RolloutFailed
│   ├── ModelChanged     ├── RollbackError 9
│   └── ChecksumMismatch └── RunCancelled 130
└── BuildError 5

Cancelled stands apart: it is no Exception, so that no library's `except Exception` swallows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

BUG_STATUS = 70  # sysexits.h EX_SOFTWARE: anything that is not a FerryError is a bug of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A place in the user's own files, relative to the workspace, and what is wrong there."""

    file: str
    line: int | None
    title: str
    message: str


class FerryError(Exception):
    """What happened (object, address, code), what was seen, and what to do about it.

    `temporary`: the same call may succeed when tried again (modelferry.retry, registry/patience).
    `is_told`: what was seen stands in the log already.
    `annotations` point at the user's own files; the first one is where the run's error is shown.
    """

    status: ClassVar[int] = BUG_STATUS

    def __init__(
        self,
        what: str,
        *,
        seen: str = "",
        do: str = "",
        temporary: bool = False,
        annotations: tuple[Annotation, ...] = (),
    ) -> None:
        super().__init__(what)
        self.what, self.seen, self.do = what, seen, do
        self.temporary = temporary
        self.is_told = False
        self.stage = ""  # that failed, where another one was running
        self.annotations = annotations

    def __str__(self) -> str:
        return "\n".join(part for part in (self.what, self.seen, self.do) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing wrong with one input. `given` is None where the value must not be shown."""

    name: str
    given: str | None
    allowed: str

    def __str__(self) -> str:
        shown = "" if self.given is None else f" is {self.given!r}"
        return f"{self.name}{shown}: {self.allowed}"


class InputError(FerryError):
    """Carries every fault found, so that a person mends them in one go."""

    status = 2

    def __init__(self, first: Fault, *more: Fault) -> None:
        faults = (first, *more)
        count = f" (and {len(more)} more)" if more else ""
        super().__init__(
            f"{first}{count}",
            seen="\n".join(f"- {fault}" for fault in faults) if more else "",
        )
        self.faults = faults


class IdentityError(FerryError):
    """A key, password, token or kubeconfig could not be had or was refused."""

    status = 3


class ModelError(FerryError):
    status = 4


class ModelNotFound(ModelError):
    pass


class ModelChanged(ModelError):
    """The source's object is no longer the one that was resolved."""


class ChecksumMismatch(ModelError):
    pass


class BuildError(FerryError):
    status = 5


class TestsFailed(FerryError):
    __test__ = False  # not a test class, whatever pytest makes of the name

    status = 6


class RegistryError(FerryError):
    """The registry is unreachable, refused the push, or lost data."""

    status = 7


class RolloutError(FerryError):
    """The cluster is unreachable or refused the manifests."""

    status = 8


class RolloutFailed(RolloutError):
    """The manifests were applied and did not become ready, or the checks failed."""

    rolled_back: bool = False  # all that was changed is again as it was
    previous_image: str | None = None  # what ran before
    diff: str = ""  # what was applied


class RollbackError(FerryError):
    """After a failed rollout, or by hand: the way back failed as well."""

    status = 9

    previous_image: str | None = None
    diff: str = ""


class RunCancelled(FerryError):
    """What a Cancelled is told as, in the end."""

    status = 130


class Cancelled(BaseException):
    """A signal's, raised in the main thread wherever it is, as KeyboardInterrupt is."""


class Several(FerryError):
    """Failures found side by side (preflight), in stage order; the first one's status counts."""

    def __init__(self, errors: tuple[FerryError, ...]) -> None:
        super().__init__(
            f"{errors[0].what} (and {len(errors) - 1} more)",
            seen="\n\n".join(f"{number}. {error}" for number, error in enumerate(errors, 1)),
        )
        self.errors = errors
