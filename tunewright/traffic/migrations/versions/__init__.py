"""One file a version of the schema; the number in its name is the version."""
