"""`$NAME`, `${NAME}` and `$(NAME)` for the names we know; everything else stays as it is.

`$$(NAME)` is Kubernetes' own escape in args and stays, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

PLACEHOLDER = re.compile(r"\$(?:\{[^}]*\}|\([^)]*\)|[A-Za-z_]\w*)")
# Those, and what other tools would have filled. An image can hold none of them.
UNFILLED = re.compile(
    r"\$\{\{.*?\}\}|" + PLACEHOLDER.pattern + r"|\{\{.*?\}\}|#\{[^}]*\}#?|\{\w+\}"
    r"|<[^<>]*>|\[\[.*?\]\]|%\w+%|@\w+@|__[A-Z][A-Z0-9_.]*?__"
)


def replacer(variables: Mapping[str, str]) -> Callable[[str], str]:
    if not variables:
        return lambda text: text
    longest_first = sorted(variables, key=len, reverse=True)
    names = "|".join(map(re.escape, longest_first))
    pattern = re.compile(
        rf"(?<!\$)\$(?:\{{(?P<braces>{names})\}}|\((?P<parens>{names})\)|(?P<bare>{names})(?!\w))"
    )

    def value(match: re.Match[str]) -> str:
        return variables[match["braces"] or match["parens"] or match["bare"]]

    return lambda text: pattern.sub(value, text)
