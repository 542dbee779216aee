"""The house stays in order: imports point one way, the package imports fast and light, parts need no registration."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tunewright.core import plugins

PACKAGE = Path(__file__).parents[1] / "tunewright"
RANKS = {"core": 0, "text": 1, "models": 1, "sources": 1, "registry": 1, "traffic": 2}
RANKS |= dict.fromkeys(("audit", "prepare", "tune", "evaluate", "explain", "release", "report", "serve", "monitor"), 3)
RANKS |= {"lifecycle": 4} | dict.fromkeys(("starter", "doctor", "verify", "diff", "prove", "curve", "retrain"), 5)
RANKS |= {"drill": 6, "commands": 7, "cli": 8, "testing": 9}


def imports() -> list[tuple[str, str, str]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            names += [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module == "tunewright":
                names = [f"tunewright.{one.name}" for one in node.names]
            found += [(str(path), room, name.split(".")[1]) for name in names if name.startswith("tunewright.")]
    return found


def test_imports_point_one_way_and_stages_never_import_each_other():
    wrong = [
        f"{path}: {room} imports {target}"
        for path, room, target in imports()
        if target in RANKS and target != room and RANKS[target] >= RANKS[room]
    ]
    assert wrong == []


def test_every_room_is_on_the_map():
    rooms = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} <= set(RANKS)


@pytest.mark.parametrize(
    "code",
    [
        "import tunewright",
        "import tunewright as tw; tw.Recipe.load('examples/reviews/recipe.yaml')",
        "from tunewright.cli import main; main(['list', 'techniques']); main(['list', 'checks']); main(['list', 'baselines'])",
    ],
)
def test_light_commands_load_no_heavy_library(code: str):
    heavy = "torch", "transformers", "sklearn", "scipy", "numba", "peft", "pandas"
    ending = f"; import sys; sys.exit(' '.join(set({heavy!r}) & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code + ending], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.stderr == ""


@pytest.mark.parametrize("kind", sorted(plugins.FOLDERS))
def test_a_folder_holds_parts_that_describe_themselves(kind: str):
    assert plugins.names(kind)
    for name in plugins.names(kind):
        part = plugins.load(kind, name)
        assert part.part_name() == name
        assert (part.__doc__ or "").strip(), f"{kind}/{name} has no docstring"
        assert all(field.description for field in part.model_fields.values()), f"{kind}/{name} has a setting without description"


def lines_of_code(path: Path) -> int:
    """Lines that hold code: no blank lines, comments or docstrings."""
    text = path.read_text()
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    prose: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            prose |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    numbered = enumerate(text.splitlines(), start=1)
    return sum(1 for number, line in numbered if number not in prose and line.strip() and not line.strip().startswith("#"))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_small(path: Path):
    assert lines_of_code(path) <= 400
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    assert [one.name for one in functions if (one.end_lineno or one.lineno) - one.lineno > 80] == []
