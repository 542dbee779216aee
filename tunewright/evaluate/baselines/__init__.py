"""One file a baseline; the name in a recipe is the file's name."""
