"""One file a metric; the name in a recipe is the file's name."""
