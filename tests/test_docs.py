"""What the documentation says exists: links, commands, recipes, keys and parts."""

import argparse
import re
import runpy
import shlex
from pathlib import Path

import pytest
import yaml

from tunewright.cli import parser
from tunewright.core.recipe import Recipe

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str):
    page = ROOT / name
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_commands_parse_and_make_targets_exist(name: str):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for block in blocks(ROOT / name, "(?:sh|console)"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words[:1] == ["tunewright"]:
                assert isinstance(parser().parse_args(words[1:]), argparse.Namespace), line
            if words[:1] == ["make"]:
                assert {word for word in words[1:] if "=" not in word} <= targets, line


@pytest.mark.parametrize("name", NAMES)
def test_recipes_load(name: str):
    for block in blocks(ROOT / name, "yaml"):
        values = yaml.safe_load(block)
        if isinstance(values, dict) and set(values) <= set(Recipe.model_fields):
            Recipe.check({"data": {"path": "rows.csv"}} | values, source=name)


@pytest.mark.parametrize("page", ["recipe.md", "parts.md"])
def test_the_reference_says_what_the_code_says(page: str):
    made = runpy.run_path(str(ROOT / "docs/generate.py"))["PAGES"][page]()
    assert (ROOT / "docs/reference" / page).read_text() == made, "run `make docs`"


def test_every_stage_has_a_page():
    from tunewright.lifecycle import NAMES as stages

    assert [name for name in [*stages, "report"] if not (ROOT / f"docs/stages/{name}.md").exists()] == []


def test_the_check_of_add_a_part_works_by_its_dotted_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import polars as pl

    import tunewright as tw

    (tmp_path / "mychecks.py").write_text(blocks(ROOT / "docs/add-a-part.md", "python")[0])
    monkeypatch.syspath_prepend(tmp_path)
    rows = pl.DataFrame({"text": ["WHY IS IT BROKEN AGAIN", "all is fine with this one"] * 5, "label": ["bad", "good"] * 5})
    result = tw.audit(rows, checks=["mychecks.Shouting"])
    assert result.counts == {"mychecks.Shouting": 5}
    assert set(result.findings["evidence"]) == {"WHY IS IT BROKEN AGAIN"}
