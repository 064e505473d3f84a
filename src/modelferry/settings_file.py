"""modelferry.yml: the inputs of a repository, for the command line."""

from __future__ import annotations

import yaml

from modelferry.errors import Fault, InputError
from modelferry.inputs import INPUTS, NAMES, environment_name, suggest

NAME = "modelferry.yml"

_KINDS = {item.name: item.kind for item in INPUTS}
_SECRET = {item.name for item in INPUTS if item.secret}
_NULL = "tag:yaml.org,2002:null"


def read_settings(text: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Values by input name, and warnings. Scalars are taken as they are written, so that a version
    1.10 stays 1.10. Raises InputError with every fault."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        at = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(
            Fault(name=f"{NAME}{at}", given=None, allowed=f"is no YAML: {error.problem}")
        ) from None
    except yaml.YAMLError as error:
        raise InputError(Fault(name=NAME, given=None, allowed=f"is no YAML: {error}")) from None
    if root is None or root.tag == _NULL:
        return {}, ()
    if not isinstance(root, yaml.MappingNode):
        raise InputError(Fault(name=NAME, given=None, allowed="must hold lines `input: value`"))
    values: dict[str, str] = {}
    warnings: list[str] = []
    faults: list[Fault] = []
    for key, value in root.value:
        name = str(key.value)
        place = f"{NAME} line {key.start_mark.line + 1}"
        try:
            values[_name(name, values)] = _value(name, value)
        except ValueError as error:
            faults.append(Fault(name=place, given=None, allowed=str(error)))
        if name in _SECRET and value.tag != _NULL and name != "kubeconfig":
            warnings.append(
                f"{place}: {name} is a secret, better in the environment as"
                f" {environment_name(name)} than in a file"
            )
    if faults:
        raise InputError(*faults)
    return values, tuple(warnings)


def _name(name: str, values: dict[str, str]) -> str:
    if name not in NAMES:
        raise ValueError(f"{name} is no input{suggest(name, NAMES)}")
    if name in values:
        raise ValueError(f"{name} is there already")
    return name


def _value(name: str, node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return "" if node.tag == _NULL else str(node.value)
    if not isinstance(node, yaml.SequenceNode) or _KINDS[name] != "lines":
        allowed = "one value, or a list of lines" if _KINDS[name] == "lines" else "one value"
        raise ValueError(f"{name} must be {allowed}")
    if not all(isinstance(item, yaml.ScalarNode) for item in node.value):
        raise ValueError(f"{name} must be a list of lines: quote an entry that holds `: `")
    return "\n".join(str(item.value) for item in node.value)
