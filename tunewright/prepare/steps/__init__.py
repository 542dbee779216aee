"""The steps: one file each, applied in the order of the recipe. A step says for each row that it changes or drops why."""
