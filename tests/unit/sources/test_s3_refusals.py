from __future__ import annotations

from dataclasses import replace

import pytest

from modelferry.errors import ModelError
from modelferry.sources.refusal import Busy, Refusal
from modelferry.sources.s3 import s3_place
from modelferry.sources.s3_refusals import explain_s3
from modelferry.sources.spec import S3Access, SourceKind
from tests.unit.sources.test_targets import line

PLACE = s3_place("bucket", S3Access(endpoint=None, region=None))
LINE = replace(line(), kind=SourceKind.S3, authority="bucket", container="")


def test_a_busy_s3_is_asked_again_when_it_says() -> None:
    error = explain_s3(
        LINE, PLACE, Refusal(status=503, code="SlowDown", retry_after_s=7), "read", "x"
    )
    assert isinstance(error, Busy)
    assert (error.temporary, error.retry_after_s) == (True, 7)


@pytest.mark.parametrize(("status", "temporary"), [(500, True), (501, False)])
def test_only_what_may_pass_is_temporary(status: int, temporary: bool) -> None:
    error = explain_s3(LINE, PLACE, Refusal(status=status), "read", "x")
    assert isinstance(error, ModelError)
    assert error.temporary is temporary
