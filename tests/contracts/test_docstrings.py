"""Field lists of docstrings name what the code has: `Args:` the parameters, `Attributes:` the fields of a dataclass."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcvc_cli.families import registry
from dcvc_cli.format.constants import DEFAULT_FAMILY, DEFAULT_MODEL

PACKAGE = Path(registry.__file__).parents[1]
ITEM = re.compile(r"\*{0,2}(\w+(?:, \*{0,2}\w+)*): ")


def listed(docstring: str, header: str) -> list[str]:
    """Names of the items below a header; a line that begins no item is told as it stands."""
    match = re.search(rf"^( *){header}:\n((?:\1 +.*(?:\n|$)|\n)*)", docstring, re.MULTILINE)
    lines = [line for line in match[2].split("\n") if line.strip()] if match else []
    indent = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    names: list[str] = []
    for line in (line[indent:] for line in lines if not line[indent].isspace()):
        item = ITEM.match(line)
        names += re.findall(r"\w+", item[1]) if item else [line]
    return names


def parameters(function: ast.FunctionDef) -> set[str]:
    every = function.args
    others = [one for one in (every.vararg, every.kwarg) if one is not None]
    return {one.arg for one in (*every.posonlyargs, *every.args, *every.kwonlyargs, *others)}


def documented(tree: ast.Module) -> Iterator[tuple[str, list[str], set[str]]]:
    """Returns (name, names that its docstring lists, names that the code has) of functions and classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield node.name, listed(ast.get_docstring(node) or "", "Args"), parameters(node)
        if isinstance(node, ast.ClassDef):
            docstring = ast.get_docstring(node) or ""
            made = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
            fields = {
                one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and hasattr(one.target, "id")
            }
            is_dataclass = any("dataclass" in ast.unparse(one) for one in node.decorator_list)
            if made or (is_dataclass and not node.bases):
                yield node.name, listed(docstring, "Args"), fields.union(*map(parameters, made))
            if is_dataclass and not node.bases:
                properties = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
                yield node.name, listed(docstring, "Attributes"), fields | properties


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_listed_names_are_those_of_the_code(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    wrong = {name: sorted(set(names) - known) for name, names, known in documented(tree) if set(names) - known}
    assert not wrong


def test_a_wrong_name_is_found() -> None:
    text = (
        'def f(a, *b):\n    """Does.\n\n    Args:\n        a: one.\n        c: two,\n            a: no item.\n    """\n'
    )
    ((_, names, known),) = documented(ast.parse(text))
    assert (names, known) == (["a", "c"], {"a", "b"})


def test_the_default_model_is_of_the_default_family() -> None:
    assert registry.family_of(registry.find_model(DEFAULT_MODEL)).name == DEFAULT_FAMILY
