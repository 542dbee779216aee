"""`tunewright release RECIPE`: one stage."""

from tunewright.commands._stage import arguments, do_stage

HELP = "only the stage release"
__all__ = ["HELP", "arguments", "do"]
do = do_stage("release")
