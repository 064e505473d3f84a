"""What BuildKit leaves out of a context: a table that real builds hold to (tests/contracts) and
that the product's own reading is held to (tests/unit)."""

from __future__ import annotations

from pathlib import Path

FILES = (
    "app.py",
    "a.log",
    "A.LOG",
    "b.log",
    "b.lxg",
    ".env",
    "src/app.py",
    "src/a.log",
    "src/deep/a.log",
    "src/deep/x.txt",
    "models/w.bin",
    "Models/net.py",
    "docs/readme.md",
    "docs/keep.md",
    "foo/bar",
    "foobar",
    "x/foo/bar",
    "a/b/c/d.txt",
    "[x].txt",
    "!bang.txt",
    "#hash.txt",
    "sp ace.txt",
    "\xfc.txt",
)

# .dockerignore → the files that are left out; all else is sent.
LEFT_OUT: dict[str, tuple[str, ...]] = {
    "*.log": ("a.log", "b.log"),
    "**/*.log": ("a.log", "b.log", "src/a.log", "src/deep/a.log"),
    "*.LOG": ("A.LOG",),
    "models/": ("models/w.bin",),
    "src": ("src/app.py", "src/a.log", "src/deep/a.log", "src/deep/x.txt"),
    "src/": ("src/app.py", "src/a.log", "src/deep/a.log", "src/deep/x.txt"),
    "/src": ("src/app.py", "src/a.log", "src/deep/a.log", "src/deep/x.txt"),
    "./src": ("src/app.py", "src/a.log", "src/deep/a.log", "src/deep/x.txt"),
    "src/**": ("src/app.py", "src/a.log", "src/deep/a.log", "src/deep/x.txt"),
    "src/*": ("src/app.py", "src/a.log", "src/deep/a.log", "src/deep/x.txt"),
    "src*": ("src/app.py", "src/a.log", "src/deep/a.log", "src/deep/x.txt"),
    "**/app.py": ("app.py", "src/app.py"),
    "*/app.py": ("src/app.py",),
    "**/b": ("a/b/c/d.txt",),
    "foo": ("foo/bar",),
    "**/foo": ("foo/bar", "x/foo/bar"),
    "/foo/bar": ("foo/bar",),
    "**/foo/bar": ("foo/bar", "x/foo/bar"),
    "x/*/bar": ("x/foo/bar",),
    "**foo": ("foo/bar", "x/foo/bar"),
    "**bar": ("foo/bar", "foobar", "x/foo/bar"),
    "foo**": ("foo/bar", "foobar"),
    "**o/bar": ("foo/bar", "x/foo/bar"),
    "**?oo": ("foo/bar", "x/foo/bar"),
    "a/**/d.txt": ("a/b/c/d.txt",),
    "a/b": ("a/b/c/d.txt",),
    "s*c": ("src/app.py", "src/a.log", "src/deep/a.log", "src/deep/x.txt"),
    "src/de*": ("src/deep/a.log", "src/deep/x.txt"),
    "*/*": (
        "src/app.py",
        "src/a.log",
        "src/deep/a.log",
        "src/deep/x.txt",
        "models/w.bin",
        "Models/net.py",
        "docs/readme.md",
        "docs/keep.md",
        "foo/bar",
        "x/foo/bar",
        "a/b/c/d.txt",
    ),
    ".": (),
    "/": (),
    "a?": (),
    "?.log": ("a.log", "b.log"),
    "a.lo": (),
    "foo/": ("foo/bar",),
    "foo/../app.py": ("app.py",),
    "../app.py": (),
    "/../app.py": ("app.py",),
    "//app.py": ("app.py",),
    "[x].txt": (),
    "\\[x\\].txt": ("[x].txt",),
    "[a-b].log": ("a.log", "b.log"),
    "[^a].log": ("b.log",),
    "*.l[!x]g": ("b.lxg",),
    "[A-Z].LOG": ("A.LOG",),
    "[^.]?*/*[.]py": ("src/app.py", "Models/net.py"),
    "sp ace.txt": ("sp ace.txt",),
    "  *.log  ": ("a.log", "b.log"),
    "\xa0*.log\u2003": ("a.log", "b.log"),
    "\xfc.txt": ("\xfc.txt",),
    "?.txt": ("\xfc.txt",),
    "\\!bang.txt": ("!bang.txt",),
    "!bang.txt": (),
    "/!bang.txt": (),
    "\\#hash.txt": ("#hash.txt",),
    "#hash.txt": (),
    " #hash.txt": ("#hash.txt",),
    "#a\n*.log": ("a.log", "b.log"),
    "a.log # c": (),
    "*.{log,py}": (),
    "\ufeff*.log": ("a.log", "b.log"),
    "*.log\r\nsrc\r\n": (
        "a.log",
        "b.log",
        "src/app.py",
        "src/a.log",
        "src/deep/a.log",
        "src/deep/x.txt",
    ),
    "src\n!src/app.py": ("src/a.log", "src/deep/a.log", "src/deep/x.txt"),
    "src\n!src/app.py\nsrc": ("src/a.log", "src/deep/a.log", "src/deep/x.txt"),
    "src\n!src/app.py\nsrc/*": ("src/app.py", "src/a.log", "src/deep/a.log", "src/deep/x.txt"),
    "docs/*\n!docs/keep.md": ("docs/readme.md",),
    "docs\n!docs/keep.md": ("docs/readme.md",),
    "!*\n*.log": ("a.log", "b.log"),
    "app.py\n/!app.py": (),
}

# .dockerignore → the files that are sent; all else is left out.
SENT_ALONE: dict[str, tuple[str, ...]] = {
    "**": (),
    "*": (),
    "/**": (),
    "*\n!app.py": ("app.py",),
    "*\n!src/app.py": ("src/app.py",),
    "**\n!src/app.py": ("src/app.py",),
    "*\n!src": ("src/app.py", "src/a.log", "src/deep/a.log", "src/deep/x.txt"),
    "*\n!src/": ("src/app.py", "src/a.log", "src/deep/a.log", "src/deep/x.txt"),
    "*\n! src/": ("src/app.py", "src/a.log", "src/deep/a.log", "src/deep/x.txt"),
    "*\n!/src": ("src/app.py", "src/a.log", "src/deep/a.log", "src/deep/x.txt"),
    "*\n!src/\nsrc/deep": ("src/app.py", "src/a.log"),
    "*\n!**/app.py": ("app.py", "src/app.py"),
    "*\n!*.py": ("app.py",),
    "*\n!src/**\n**/*.log": ("src/app.py", "src/deep/x.txt"),
}

# Lines that are read one way there and, being rare, not at all here: everything counts.
UNCLEAR = (
    "a^*",
    "^*.log",
    "*.log|x",
    "*x{2}",
    "[a*].log",
    "[[:alpha:]].log",
    "[a&].log",
    "\\d*",
    "\ufffd*",
    "src\n!a^*\nsrc/deep",
)

# Lines that end the build there.
BROKEN = ("[ab", "!", "*\n!", "[]", "[]a].log", "[a-]", "[b-a].log", "a\\", "*\\", "\\\xfc")


def understood() -> dict[str, set[str]]:
    """.dockerignore → the files that are sent."""
    left = {text: {*FILES} - set(out) for text, out in LEFT_OUT.items()}
    return left | {text: set(sent) for text, sent in SENT_ALONE.items()}


def write_files(folder: Path) -> None:
    for name in FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
