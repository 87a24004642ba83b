"""The architecture holds: modules import from their own floor or below, and each door has one home."""

import ast
import re
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent / "cmlutils"
GROUND = {"errors", "constants", "log", "screen"}
MODULES = sorted(HOUSE.rglob("*.py"))
ABOVE_GROUND = [path for path in MODULES if path.relative_to(HOUSE).parts[0] not in {"emulator", "__init__.py"}]


def floor(parts):
    if parts[0] in {"cli", "__main__"}:
        return 4
    if parts[0] == "flows":
        return 3
    if parts[0] == "remote":
        return 2
    return 0 if parts[0] in GROUND else 1


def is_module(parts):
    """Tell whether this is a module or package of the house, and not a name defined in a module."""
    return any((HOUSE / part).is_dir() or (HOUSE / f"{part}.py").is_file() for part in parts)


def nodes(tree, *, type_checking):
    """Walk a syntax tree, with or without the parts for type checking only."""
    for node in ast.iter_child_nodes(tree):
        if not type_checking and isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        yield node
        yield from nodes(node, type_checking=type_checking)


def imports(path, *, type_checking=True):
    """Yield the names of all modules that a file imports, with or without those for type checking only."""
    for node in nodes(ast.parse(path.read_text()), type_checking=type_checking):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            if node.module and node.module.startswith("cmlutils"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", ABOVE_GROUND, ids=lambda path: str(path.relative_to(HOUSE)))
def test_no_module_imports_from_a_floor_above(path):
    own = path.relative_to(HOUSE).with_suffix("").parts
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "cmlutils" and is_module(parts[1:2]):
            assert floor(parts[1:]) <= floor(own), f"{path.name} imports {name}"


def test_single_modules_have_a_floor_as_packages_do():
    assert [is_module(parts) for parts in (["bundle"], ["flows"], ["__version__"], [])] == [True, True, False, False]
    assert floor(["errors"]) < floor(["bundle"]) < floor(["remote", "http"])


def test_the_cellar_shares_nothing_with_the_floors():
    for path in MODULES:
        in_cellar = path.is_relative_to(HOUSE / "emulator")
        for name in imports(path):
            if in_cellar and name.startswith("cmlutils."):
                assert name.startswith("cmlutils.emulator"), f"{path} imports {name}"
            if not in_cellar and name.startswith("cmlutils.emulator"):
                assert path.parent.name == "cli", f"{path} imports {name}"


@pytest.mark.parametrize(
    ("package", "homes"),
    [
        ("requests", {"remote/exchange.py", "remote/failures.py", "remote/headers.py"}),
        ("subprocess", {"remote/child.py"}),
        ("click", {"cli/"}),
        ("rich", {"cli/"}),
    ],
)
def test_each_door_has_its_home(package, homes):
    for path in MODULES:
        where = path.relative_to(HOUSE).as_posix()
        if where.startswith("emulator/") or any(where.startswith(home) for home in homes):
            continue
        for name in imports(path, type_checking=False):
            assert name is None or name.split(".")[0] != package, f"{where} imports {package}"


@pytest.mark.parametrize(
    "package", ["cli", "emulator", "flows", "flows/copying", "flows/replaying", "flows/comparing", "remote"]
)
def test_a_package_tells_what_each_of_its_modules_is_for(package):
    folder = HOUSE / package
    told = set(re.findall(r"\w+", ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))))
    inside = {path.stem for path in [*folder.glob("*.py"), *(path.parent for path in folder.glob("*/__init__.py"))]}
    assert inside - {"__init__"} - told == set()


def test_modules_and_functions_are_short():
    for path in [*MODULES, *HOUSE.parent.glob("batch/*.py")]:
        text = path.read_text()
        sizes = [
            node.end_lineno - node.lineno + 1
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        assert max(sizes, default=0) <= 45, path
        assert text.count("\n") <= 250 or path == HOUSE / "emulator/cdswctl.py", path
