"""The house keeps its arrows, and importing it stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {"advgames": "advgames", "agents": "advgames.agents", "envs": "advgames.envs", "training": "advgames.training"}
#: what each room must not import
FORBIDDEN = {
    "advgames": [
        "advgames.agents",
        "advgames.envs",
        "advgames.training",
        "gymnasium",
        "pettingzoo",
        "stable_baselines3",
    ],
    "agents": ["advgames.envs", "advgames.training", "gymnasium", "pettingzoo"],
    "envs": ["advgames.training", "advgames.agents"],
    "training": [],
}
EVERYTHING_ALLOWED = {ROOT / "advgames" / "cli.py"}


def imports(file: Path) -> set[str]:
    """Every module a file imports, at the top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            assert node.module is not None
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = [(room, file) for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]


@pytest.mark.parametrize(("room", "file"), FILES, ids=[str(f.relative_to(ROOT)) for _, f in FILES])
def test_a_room_imports_only_what_the_arrows_allow(room: str, file: Path) -> None:
    if file in EVERYTHING_ALLOWED:
        return
    for name in imports(file):
        for forbidden in FORBIDDEN[room]:
            assert name != forbidden and not name.startswith(forbidden + "."), f"{file} imports {name}"


@pytest.mark.parametrize(("room", "file"), FILES, ids=[str(f.relative_to(ROOT)) for _, f in FILES])
def test_a_module_says_in_its_first_line_what_lives_in_it_and_names_its_door(room: str, file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    doc = ast.get_docstring(tree)
    assert doc and len(doc.splitlines()[0]) > 10, file
    has_door = any(isinstance(n, ast.Assign | ast.AnnAssign) and "__all__" in ast.unparse(n) for n in tree.body)
    assert has_door or not any(isinstance(n, ast.FunctionDef | ast.ClassDef) for n in tree.body), file


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("advgames", ["torch", "numpy", "sklearn", "matplotlib", "stable_baselines3", "gymnasium"]),
        ("advgames.training", ["sklearn", "matplotlib", "stable_baselines3", "gymnasium", "pettingzoo"]),
        ("advgames.cli", ["torch", "matplotlib", "stable_baselines3"]),
    ],
)
def test_importing_stays_light(module: str, heavy: list[str]) -> None:
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
