"""One plain model that transformers loads without peft: `config.json`, `model.safetensors`, tokenizer with its chat template."""

from __future__ import annotations

from pathlib import Path

from tunewright.registry.intake import take
from tunewright.release.export.adapter import LEFT_OUT
from tunewright.release.export.source import Options, Source


def write(source: Source, directory: Path, how: Options) -> list[str]:
    """Save the merged weights in fp32, or link them where the release is a plain model already."""
    from tunewright.models.load import quiet

    if source.peft_type is None:
        take(source.directory, [one for one in source.manifest["files"] if one["path"] not in LEFT_OUT], directory)
    else:
        with quiet():
            source.model.save_pretrained(directory)
            source.tokenizer.save_pretrained(directory)
    return ["AutoModelForCausalLM.from_pretrained(DIRECTORY)"]
