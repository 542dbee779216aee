"""Report: self-contained HTML files about a run and about what the monitor sees, which a manager can read and an engineer can check.

`write_report(run_dir)` reads the run directory (`read.py`), draws its pictures (`charts.py`), writes its
numbers (`words.py`) and fills `report.html.j2`.
Rows are hostile text: the template escapes everything, and the page's security policy allows no script, no connection,
no image and no style but the one style sheet whose hash it names.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, PackageLoader
from markupsafe import Markup

from tunewright import __version__
from tunewright.core.files import write_text
from tunewright.report import charts, words
from tunewright.report.read import read_run


def write_report(run_dir: str | Path) -> Path:
    """Write `report.html` into the run directory from what it holds; stages that have not run are named as missing."""
    directory = Path(run_dir)
    path = directory / "report.html"
    write_text(path, render(read_run(directory)))
    return path


def write_watch(path: str | Path, view: dict[str, Any]) -> None:
    """Write what `monitor.history` found as a page."""
    write_text(Path(path), render(view, "watch.html.j2"))


def render(view: dict[str, Any], page: str = "report.html.j2") -> str:
    """The page for what `read_run` returned, or for what another template wants."""
    here = files("tunewright.report")
    css = here.joinpath("report.css").read_text(encoding="utf-8")
    style_hash = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    options: dict[str, Any] = {"undefined": ChainableUndefined, "trim_blocks": True, "lstrip_blocks": True, "finalize": words.shown}
    environment = Environment(autoescape=True, loader=PackageLoader("tunewright.report", ""), **options)
    environment.filters |= words.FILTERS
    template = environment.get_template(page)
    # The style sheet is our own file, not data of the run.
    return template.render(**view, css=Markup(css), style_hash=style_hash, charts=charts, version=__version__)  # noqa: S704
