"""`tunewright promote REF --reason WHY`: make a version the champion. A run or release is registered first."""

from __future__ import annotations

import argparse

from tunewright.commands._shared import out, user

HELP = "make a release the one that serves"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ref", metavar="RUN", help="a run or a release, which is registered first, or MODEL@VERSION, MODEL@challenger")
    parser.add_argument("--registry", metavar="DIR", help="(default: $TUNEWRIGHT_REGISTRY or registry)")
    parser.add_argument("--as", dest="model", metavar="MODEL", help="name of the model (default: the run's name)")
    parser.add_argument("--reason", required=True, metavar="WHY", help="for the history")
    parser.add_argument("--by", metavar="NAME", help="who decides (default: your user name)")
    parser.add_argument(
        "--force", action="store_true", help="even if it is not approved or failed a gate; parity and hashes are never overruled"
    )


def do(given: argparse.Namespace) -> int:
    from tunewright.core.errors import RunError
    from tunewright.registry import locate, open_model

    by, place = given.by or user(), locate(given.ref, given.registry)
    if place.registry is not None:
        if given.model not in (None, place.name):
            raise RunError(
                f"{place} is a version of {place.name}; --as {given.model} is for runs and releases that are not registered yet."
            )
        registry, version = place.registry, place.version
        assert version is not None
    else:
        registry = open_model(given.model or place.name, given.registry, new=True)
        version = registry.register(place.directory, run=place.run, reason=given.reason, by=by)
    before = registry.state().champion
    registry.promote(version, reason=given.reason, by=by, force=given.force)
    said = f"{registry.name}: version {version} is the champion"
    if before == version:
        said += " already"
    elif before is not None:
        said += f" instead of {before}; `tunewright rollback {registry.name}` takes it back"
    out(given, {"model": registry.name, "version": version, "before": before, "registry": str(registry.directory)}, [said + "."])
    return 0
