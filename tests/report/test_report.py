"""The report: everything from the run directory, nothing from elsewhere, hostile rows harmless, partial runs readable."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.report.fixture import HOSTILE, LABELS, make_run
from tunewright import report
from tunewright.core.files import read_json, write_json
from tunewright.report import write_report
from tunewright.report.words import duration

VOID = {"meta", "br", "img", "link", "input", "hr"}
KNOWN_TAGS = set(
    re.findall(
        r"\w+",
        "html head meta title style body header main footer nav section article div span p h1 h2 h3 a b i code pre small ul li dl dt dd figure figcaption "
        "table caption thead tbody tr th td details summary br svg line circle rect text polyline polygon",
    )
)


class Page(HTMLParser):
    """Collects elements and text, and fails on a tag that is closed wrongly."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "reviews")


def page_of(run: Path) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))


def test_it_is_well_formed_html_of_known_elements(run: Path) -> None:
    page = page_of(run)
    assert {tag for tag, _ in page.elements} <= KNOWN_TAGS
    assert all(tag == "svg" or "alt" in attrs or tag != "img" for tag, attrs in page.elements)


def test_hostile_rows_are_text_and_nothing_else(run: Path) -> None:
    html = write_report(run).read_text(encoding="utf-8")
    assert "<script" not in html
    assert "<img" not in html
    assert HOSTILE in Page(html).text  # it is shown, as words


def test_a_hostile_label_and_candidate_name_are_text(run: Path) -> None:
    verdict = read_json(run / "evaluate" / "verdict.json")
    write_json(run / "evaluate" / "verdict.json", verdict | {"candidate": "<svg onload=alert(1)>"})
    results = read_json(run / "evaluate" / "results.json")
    write_json(run / "evaluate" / "results.json", results | {"labels": ['"><script>', *LABELS[1:]]})
    page = page_of(run)
    assert not [attrs for _, attrs in page.elements if any(name.startswith("on") for name in attrs)]
    assert "<svg onload=alert(1)>" in page.text


def test_the_agreement_of_reviewers_stands_beside_the_effort(run: Path) -> None:
    text = page_of(run).text
    told = text.split("Do the people agree?")[1]
    assert "labels 0.71 (0.52 to 0.87) 38 cohen kappa ann, bo" in told
    assert "label_noise is right" in told
    assert "ann / bo negative neutral 4" in told
    write_json(run / "review" / "agreement.json", {"about": "labels", "coefficients": [], "confusion": {}, "checks": {}})
    assert "No row was decided by two people" in page_of(run).text
    (run / "review" / "agreement.json").unlink()
    assert "Do the people agree?" not in page_of(run).text


def test_it_loads_nothing_from_anywhere(run: Path) -> None:
    html = write_report(run).read_text(encoding="utf-8")
    for _, attrs in Page(html).elements:
        assert not {"src", "srcset", "data", "action", "background"} & set(attrs)
        assert (attrs.get("href") or "#").startswith("#")
    style = html.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_the_security_policy_allows_only_its_own_style_sheet(run: Path) -> None:
    html = write_report(run).read_text(encoding="utf-8")
    style = html.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(attrs["content"] for _, attrs in Page(html).elements if attrs.get("http-equiv"))
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not [attrs for _, attrs in Page(html).elements if "style" in attrs]  # the policy would block them


def test_links_lead_to_sections_of_the_page(run: Path) -> None:
    elements = page_of(run).elements
    ids = {attrs["id"] for _, attrs in elements if "id" in attrs}
    assert {(attrs["href"] or "")[1:] for tag, attrs in elements if tag == "a"} == ids


def test_every_picture_has_words_or_is_decoration(run: Path) -> None:
    for tag, attrs in page_of(run).elements:
        if tag == "svg" and "viewbox" not in attrs:
            assert attrs.get("aria-label") or attrs.get("aria-hidden") == "true"


@pytest.mark.parametrize("verdict", ["SHIP", "DON'T SHIP", "INCONCLUSIVE"])
def test_the_verdict_is_the_first_thing_said(tmp_path: Path, verdict: str) -> None:
    text = page_of(make_run(tmp_path / "run", verdict)).text
    assert re.search(rf"Limits Verdict {re.escape(verdict)} ", text)
    assert {"SHIP": "All 4 conditions are met", "DON'T SHIP": "1 of 4 conditions is not met",
            "INCONCLUSIVE": "cannot decide 1 of 4 conditions"}[verdict] in text  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("difference", 0.1234, "+0.123"),
        ("ci_low", -0.0456, "−0.046 to +0.219"),
        ("relative_gain", 0.4567, "+45.7%"),
        ("p_value", 0.0371, "0.037"),
        ("n", 4321, "4,321"),
        ("minimum_detectable_difference", 0.0777, "0.078"),
        ("test_openings", 7, "7 each one widens"),
    ],
)
def test_numbers_of_the_verdict_come_from_its_file(run: Path, key: str, value: float, shown: str) -> None:
    path = run / "evaluate" / "verdict.json"
    assert shown not in page_of(run).text
    write_json(path, read_json(path) | {key: value})
    assert shown in page_of(run).text


def test_every_system_candidate_step_and_gate_is_there_with_its_numbers(run: Path) -> None:
    text = page_of(run).text
    for one in read_json(run / "evaluate" / "results.json")["systems"]:
        low, high = one["intervals"]["macro_f1"]
        assert f"{one['scores']['macro_f1']:.3f} {low:.3f} to {high:.3f} {one['scores']['accuracy']:.3f}" in text
    for one in read_json(run / "tune" / "leaderboard.json")["candidates"]:
        assert f"{one['validation']['macro_f1']:.3f} {one['validation']['accuracy']:.3f} {one['validation']['loss']:.3f}" in text
        assert f"{one['trainable_parameters']:,}" in text
    for gate in read_json(run / "evaluate" / "verdict.json")["gates"]:
        assert gate["text"] in text
    for one in read_json(run / "prepare" / "summary.json")["steps"]:
        assert f"{one['rows_in']:,} {one['rows_out']:,} {one['changed']:,}" in text


def test_findings_are_those_of_the_audit_the_most_severe_first(run: Path) -> None:
    path = run / "audit" / "summary.json"
    text = page_of(run).text
    assert "312 findings" in text
    assert text.index("conflicting labels") < text.index("encoding damage") < text.index("label noise")
    assert "Looked for and not found: short text." in text
    summary = read_json(path)
    summary["checks"]["label_noise"]["counts"] = {"info": 15}
    write_json(path, summary)
    assert "113 findings" in page_of(run).text


@pytest.mark.parametrize("stage", ["audit", "prepare", "tune", "evaluate", "explain", "release"])
def test_a_missing_stage_is_named_and_the_rest_is_shown(run: Path, stage: str) -> None:
    shutil.rmtree(run / stage)
    text = page_of(run).text
    assert f"Not finished in this run: {stage}" in text
    assert ("Unfinished" in text) == (stage == "evaluate")


def test_an_empty_run_directory_gives_a_page_that_says_so(tmp_path: Path) -> None:
    text = page_of(tmp_path).text
    assert "Unfinished" in text
    assert "There is no verdict yet" in text


def test_a_value_that_was_not_measured_is_a_dash_not_a_zero(run: Path) -> None:
    path = run / "evaluate" / "verdict.json"
    write_json(path, read_json(path) | {"relative_gain": None})
    assert "Relative gain – asked for" in page_of(run).text


def test_a_label_named_like_a_method_is_looked_up_as_a_label(run: Path) -> None:
    path = run / "prepare" / "summary.json"
    summary = read_json(path)
    summary["labels"][0] = "items"
    for split in summary["counts"].values():
        split["items"] = split.pop("negative")
    write_json(path, summary)
    assert "items 1,051 226 225" in page_of(run).text


def test_durations_keep_their_meaning_at_every_size() -> None:
    assert [duration(one) for one in (0.0, 0.00002, 0.0213, 7.25, 187.0, None)] == ["0 s", "0.02 ms", "21 ms", "7.2 s", "3 min 7 s", "–"]


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.04 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(scheme: int) -> None:
    style = (Path(report.__file__).parent / "report.css").read_text()
    block = style.split(":root {")[1 + scheme].split("}")[0]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    pairs = [(ink, ground) for ink in ("ink", "soft", "accent", "base", "good", "bad", "unsure") for ground in ("paper", "card")]
    pairs += [("bad", "bad-wash"), ("unsure", "unsure-wash"), ("accent", "accent-wash"), ("soft", "sunk")]
    for ink, ground in pairs:
        dark, bright = sorted(luminance(colours[one]) for one in (ink, ground))
        assert (bright + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)


def test_a_proof_is_told_with_its_arms_and_says_when_nothing_was_shown(run: Path) -> None:
    text = page_of(run).text
    assert "✓ preparing the rows helped by +0.075" in text
    assert "? preparing, against as many random raw rows made no difference that was shown" in text
    assert "raw what raw is 3,909" in text


def test_a_proof_of_rows_that_were_prepared_anew_is_marked(run: Path) -> None:
    assert "prepared anew" not in page_of(run).text
    done = read_json(run / "prepare" / "done.json")
    write_json(run / "prepare" / "done.json", done | {"inputs": "other"})
    assert page_of(run).text.count("prepared anew since") == 2  # proof and curve


def test_curated_rows_are_unproven_until_compared_with_chance(run: Path) -> None:
    summary, proof = read_json(run / "prepare" / "summary.json"), read_json(run / "proof" / "proof.json")
    assert "unproven until" not in page_of(run).text
    summary["steps"].append({"name": "curate", "rows_in": 3664, "rows_out": 1832, "changed": 1832, "reasons": {"not_chosen": 1832}})
    write_json(run / "prepare" / "summary.json", summary)
    assert "unproven until" in page_of(run).text
    proof["comparisons"].append(proof["comparisons"][0] | {"first": "random_curate"})
    write_json(run / "proof" / "proof.json", proof)
    assert "unproven until" not in page_of(run).text


def test_the_learning_curve_tells_its_story_and_shows_each_training(run: Path) -> None:
    html = write_report(run).read_text(encoding="utf-8")
    assert "At 2,583 rows the curve is at 0.664." in Page(html).text
    assert len(re.findall(r'<circle class="dot winner bare"', html)) == 10


def test_findings_to_know_are_folded_away_and_seconds_are_shown(run: Path) -> None:
    html = write_report(run).read_text(encoding="utf-8")
    folded = html[html.index("<details><summary>To know") :].split("</details>")[0]
    assert "label noise" in folded
    assert "conflicting labels" not in folded
    assert "0.25" in folded


def test_what_people_said_about_the_checks_is_shown_with_intervals(run: Path) -> None:
    text = page_of(run).text
    assert "40 decisions: accept 40." in text
    assert "encoding damage 52 40 80% (62% to 91%) 40% (10% to 90%) 0.50 (likely)" in text
    assert "toxicity 52 40 80% (62% to 91%) 40% (10% to 90%) none" in text


def test_what_was_measured_of_exports_is_shown(tmp_path: Path):
    run = make_run(tmp_path / "run")
    arms = [{"name": "gguf q8_0 (llama.cpp)", "passed": False, "text": f"row 3: 0.7 nats {HOSTILE}", "artefact": "exports/gguf"}]
    write_json(run / "release" / "parity_exports.json", {"arms": arms})
    calibration = {"temperature": 1.31, "ece_before": 0.08, "ece_after": 0.03, "ece_if_perfect": 0.02, "note": "Fitted on 400 rows."}
    write_json(run / "release" / "calibration.json", calibration)
    text = " ".join(Page(write_report(run).read_text()).words)
    assert "gguf q8_0 (llama.cpp)" in text
    assert "row 3: 0.7 nats" in text
    assert "temperature 1.31" in text
    assert "Fitted on 400 rows." in text
