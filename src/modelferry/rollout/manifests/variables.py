"""`$NAME`, `${NAME}` and `$(NAME)` for the names we know; everything else stays as it is.

`$$(NAME)` is Kubernetes' own escape in args and stays, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches

PLACEHOLDER = re.compile(r"\$(?:\{[^}]*\}|\([^)]*\)|[A-Za-z_]\w*)")
_NAMED = re.compile(r"(?<!\$)\$(?:\{[\w.]+\}|\([\w.]+\)|[A-Za-z_]\w*)")
_CLOSE = 0.85  # of difflib's ratio: one letter wrong of seven
# Those, and what other tools would have filled. An image can hold none of them.
UNFILLED = re.compile(
    r"\$\{\{.*?\}\}|" + PLACEHOLDER.pattern + r"|\{\{.*?\}\}|#\{[^}]*\}#?|\{\w+\}"
    r"|<[^<>]*>|\[\[.*?\]\]|%\w+%|@\w+@|__[A-Z][A-Z0-9_.]*?__"
)


def near_misses(text: str, names: Collection[str]) -> Iterator[tuple[str, str]]:
    """(as written, the name that may be meant): once the known names are filled in, what is left
    may be a shell's or Kubernetes' own, or a name with a letter wrong."""
    for written in dict.fromkeys(_NAMED.findall(text)):
        name = written.strip("${}()")
        if close := get_close_matches(name, names, 1, _CLOSE):
            yield written, close[0]


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
