"""`tunewright serve TARGET`: an OpenAI-compatible endpoint over a registry's model, a run, a release or a base model."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tunewright.core.errors import RunError
from tunewright.core.optional import require

HELP = "serve a model: OpenAI-compatible endpoint, labels, explanations, feedback"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="a model in the registry, a run, a release, or a base model")
    parser.add_argument("--host", default="127.0.0.1", metavar="HOST", help="address to listen on (127.0.0.1); others need API keys")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="0 takes a free one (8000)")
    parser.add_argument("--registry", metavar="DIR", help="where models and keys.json are ($TUNEWRIGHT_REGISTRY, or registry)")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate with its chain (PEM)")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key (PEM)")
    parser.add_argument("--trusted-proxies", metavar="A,B,...", help="addresses or networks whose X-Forwarded-For is believed")
    parser.add_argument("--set", action="append", default=[], metavar="serve.KEY=VALUE", help="override a setting; may be repeated")


def do(given: argparse.Namespace) -> int:
    for module in ("fastapi", "uvicorn", "sqlalchemy", "prometheus_client"):
        require(module, "serve")
    from tunewright.registry import root
    from tunewright.serve.keys import KeyFile
    from tunewright.serve.server import Listen, run
    from tunewright.serve.service import Setup
    from tunewright.serve.target import find_target

    listen = Listen(given.host, given.port, given.tls_cert, given.tls_key, given.trusted_proxies)
    target = find_target(given.target, given.registry)
    home = target.registry.directory.parent if target.registry is not None and given.registry is None else root(given.registry)
    keys_file = home / "keys.json"
    keyed = bool(KeyFile(keys_file).read())
    if not keyed and not listen.loopback:
        raise RunError(
            f"--host {given.host} can be reached by others, and there is no API key in {keys_file}: everybody could use the model."
            f" Make one with: tunewright keys create NAME --registry {home}"
        )
    setup = Setup(
        target=given.target,
        registry=given.registry,
        overrides=tuple(given.set),
        keys_file=keys_file,
        needs_key=keyed,
        hosts=() if keyed else tuple(sorted({"127.0.0.1", "localhost", "::1", given.host.lower()})),
        quiet=given.json,
    )
    run(setup, listen, lambda service, url: _say(given, service, url, keyed))
    return 0


def _say(given: argparse.Namespace, service: Any, url: str, keyed: bool) -> None:
    """Where it listens, who answers, and how to call it."""
    table = service.table
    document = {
        "url": url,
        "model": table.model,
        "champion": table.champion,
        "challenger": table.challenger,
        "versions": {name: release.status for name, release in service.fleet.loaded.items()},
        "names": table.names(),
        "keys": keyed,
    }
    if given.json:
        print(json.dumps(document), flush=True)
        return
    unapproved = [one for one in service.fleet.loaded.values() if not one.approved]
    for release in unapproved:
        print(f"warning: {release.name}: {release.status}", file=sys.stderr)
    versions = ", ".join(service.fleet.loaded)
    key = " -H 'Authorization: Bearer tw-...'" if keyed else ""
    any_labels = any(release.labels for release in service.fleet.loaded.values())
    body = {"model": table.names()[0], **({"input": "..."} if any_labels else {"messages": [{"role": "user", "content": "..."}]})}
    path = "/v1/classify" if any_labels else "/v1/chat/completions"
    print(f"{table.model} listens on {url} ({versions})", flush=True)
    print(f"  curl {url}{path}{key} -H 'Content-Type: application/json' -d '{json.dumps(body)}'", flush=True)
