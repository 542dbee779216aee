"""The command line. A recipe and `--set key=value` say everything; nothing of the recipe is mirrored as an option.

Exit codes: 0 fine, 1 findings over policy or DON'T SHIP, 2 bad input, 3 INCONCLUSIVE. With `--json` stdout holds one JSON
document and nothing else; progress and messages always go to stderr. Each command is a file of `tunewright.commands`.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
from importlib import import_module

from tunewright import __version__
from tunewright.core import interrupt
from tunewright.core.errors import DiskFull, TunewrightError

COMMANDS = (
    "init",
    "doctor",
    "run",
    "audit",
    "prepare",
    "tune",
    "evaluate",
    "explain",
    "release",
    "export",
    "promote",
    "rollback",
    "registry",
    "report",
    "list",
    "verify",
    "diff",
    "unredact",
    "review",
    "label",
    "prove-data",
    "learning-curve",
    "traffic",
    "retrain",
    "drill",
    "monitor",
    "serve",
    "keys",
)

WRONG_PATH = (errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    given = parser().parse_args(arguments)
    if not hasattr(given, "do"):
        parser().print_help()
        return 2
    try:
        with interrupt.heard():
            return int(given.do(given))
    except TunewrightError as error:
        return _fail(given, str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail(given, "Interrupted. What was finished is kept: run the same command again to go on.", 130)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return _fail(given, str(DiskFull(f"{error.filename or 'disk'}: no space left. Free some and run the same command again.")), 2)
        if error.errno in WRONG_PATH and error.filename:
            return _fail(given, f"{error.filename}: {error.strerror}. Choose another path, or change what is there and who may use it.", 2)
        raise


def _fail(given: argparse.Namespace, message: str, code: int) -> int:
    if getattr(given, "json", False):
        print(json.dumps({"error": message, "exit_code": code}))
    print(f"error: {message}" if code != 130 else f"\n{message}", file=sys.stderr)
    return code


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    whole = argparse.ArgumentParser(prog="tunewright", description="Fine-tune language models on evidence.", allow_abbrev=False)
    whole.add_argument("--version", action="version", version=f"tunewright {__version__}")
    commands = whole.add_subparsers(metavar="COMMAND", title="commands")
    for name in COMMANDS:
        command = import_module(f"tunewright.commands.{name.replace('-', '_')}")
        one = commands.add_parser(name, help=command.HELP, description=command.HELP, allow_abbrev=False)
        one.add_argument("--json", action="store_true", help="one JSON document on stdout")
        one.set_defaults(do=command.do, json=False)
        command.arguments(one)
    return whole


if __name__ == "__main__":
    sys.exit(main())
