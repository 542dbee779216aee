"""The files of a release: weights in the layout that peft and transformers read, tokenizer, token contract."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tunewright.core.errors import RunError
from tunewright.core.files import link, read_json, write_json
from tunewright.core.recipe import Recipe
from tunewright.models.chat import ChatFormat
from tunewright.models.contract import check
from tunewright.models.load import BUNDLED, LoadedModel, quiet


def weights(winner: LoadedModel, candidate: Path, directory: Path) -> str:
    """Put the winner's weights into `directory`; "adapter" when they need the base model beside them, else "model"."""
    if (candidate / "model").is_dir():
        shutil.copytree(candidate / "model", directory, dirs_exist_ok=True, copy_function=link)
        return "model"
    if winner.technique == "bottleneck":
        from tunewright.models.bottleneck import merged

        with quiet():
            merged(winner.model).save_pretrained(directory)
        return "model"
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(candidate / "adapter" / name, directory / name)
    config = read_json(directory / "adapter_config.json")
    here = winner.name in BUNDLED or Path(winner.name).expanduser().exists()
    config["base_model_name_or_path"] = str(winner.directory) if here else winner.name
    write_json(directory / "adapter_config.json", config)
    return "adapter"


def tokenizer(own: Any, recipe: Recipe, labels: list[str], directory: Path) -> ChatFormat:
    """Save the tokenizer with its chat template; the prompt format by the tokenizer as it was saved."""
    with quiet():
        own.save_pretrained(directory)
    return ChatFormat.of(recipe, saved_tokenizer(directory), labels)


def saved_tokenizer(directory: Path) -> Any:
    from transformers import AutoTokenizer

    with quiet():
        return AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)


def check_contract(contract: dict[str, Any], directory: Path) -> None:
    """Raises `RunError` unless the tokenizer in `directory` gives the tokens that training saw."""
    difference = check(contract, saved_tokenizer(directory))
    if difference is not None:
        raise RunError(
            f"The release is stopped: its tokenizer does not give the tokens that the model was trained on. {difference}. "
            "A changed tokenizer or chat template is the usual cause: run the tune stage again with this model."
        )
