"""`tunewright evaluate RECIPE`: one stage."""

from tunewright.commands._stage import arguments, do_stage

HELP = "only the stage evaluate"
__all__ = ["HELP", "arguments", "do"]
do = do_stage("evaluate")
