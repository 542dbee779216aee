"""The commands: one file each, with `HELP` (a line), `arguments(parser)` and `do(given) -> exit code`.

    tunewright report runs/demo   ->   commands/report.py: do(Namespace(run="runs/demo", json=False))

A name with an underscore is typed with a hyphen. `cli.COMMANDS` holds their order.
"""
