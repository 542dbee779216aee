"""The adapter as peft reads it: `adapter_config.json`, `adapter_model.safetensors`, and the tokenizer."""

from __future__ import annotations

from pathlib import Path

from tunewright.core.errors import RunError
from tunewright.registry.intake import take
from tunewright.release.export.source import Options, Source

LEFT_OUT = ("manifest.json", "parity.json", "reference.parquet", "calibration.json", "recipe.json", "tokens.json")


def write(source: Source, directory: Path, how: Options) -> list[str]:
    """Link the release's files. Raises `RunError` for a release that is a whole model."""
    if source.peft_type is None:
        raise RunError(f"{source.directory} is a whole model ({source.manifest['technique']}), not an adapter. Use --format merged.")
    files = [one for one in source.manifest["files"] if one["path"] not in LEFT_OUT]
    take(source.directory, files, directory)
    return [f"PeftModel.from_pretrained(base, DIRECTORY), where base is {source.manifest['base_model']['name']}"]
