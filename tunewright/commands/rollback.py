"""`tunewright rollback MODEL`: the champion before this one serves again, at once."""

from __future__ import annotations

import argparse

from tunewright.commands._shared import out, user

HELP = "let the previous champion serve again"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--registry", metavar="DIR", help="(default: $TUNEWRIGHT_REGISTRY or registry)")
    parser.add_argument("--reason", default="rolled back by hand", metavar="WHY", help="for the history")
    parser.add_argument("--by", metavar="NAME", help="who decides (default: your user name)")


def do(given: argparse.Namespace) -> int:
    from tunewright.registry import open_model

    registry = open_model(given.model, given.registry)
    before = registry.state().champion
    version = registry.rollback(reason=given.reason, by=given.by or user())
    document = {"model": registry.name, "version": version, "before": before}
    out(
        given,
        document,
        [f"{registry.name}: version {version} is the champion again, instead of {before}. Whatever rollout there was has ended."],
    )
    return 0
