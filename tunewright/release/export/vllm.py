"""What vLLM needs, and the command line that starts it: the base model with the adapter as a LoRA module, or the whole model.

vLLM pins other versions of torch and transformers, so it runs in an environment of its own; it is not run here. The files are
checked with plain libraries, and the running server with `tunewright verify RUN parity --endpoint URL --model NAME`.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from tunewright.core.errors import RunError
from tunewright.core.files import read_json, write_text
from tunewright.release.export import adapter, merged
from tunewright.release.export.source import Options, Source

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM has kernels for


def write(source: Source, directory: Path, how: Options) -> list[str]:
    """Write the model or adapter and `serve.sh`. Raises `RunError` for an adapter that vLLM does not take."""
    if source.peft_type is None:
        merged.write(source, directory, how)
        what = ['"$here"', "--served-model-name", source.name]
    else:
        config = read_json(source.directory / "adapter_config.json")
        rank = next((one for one in RANKS if one >= config.get("r", 0)), None)
        if source.peft_type != "LORA" or config.get("use_dora") or config.get("modules_to_save") or rank is None:
            raise RunError(
                f"{source.directory}: vLLM takes LoRA adapters of rank {RANKS[-1]} at most, without DoRA and without whole modules; this is "
                f"{source.manifest['technique']} ({source.peft_type}). Use --format merged where it can be merged."
            )
        adapter.write(source, directory, how)
        what = [shlex.quote(str(source.base)), "--enable-lora", "--max-lora-rank", str(rank), "--lora-modules", f'{source.name}="$here"']
    if not (directory / "chat_template.jinja").exists():
        write_text(directory / "chat_template.jinja", source.template)
    options = ["--chat-template", '"$here/chat_template.jinja"', "--generation-config", "vllm", "--host", "127.0.0.1", "--port", "8000"]
    head = '#!/bin/sh\n# Run in an environment with vLLM. More options may follow: ./serve.sh --dtype bfloat16\nhere=$(cd "$(dirname "$0")" && pwd)\n'
    write_text(directory / "serve.sh", f'{head}exec vllm serve {" ".join([*what, *options])} "$@"\n')
    (directory / "serve.sh").chmod(0o755)
    return ["./serve.sh", f"tunewright verify RUN parity --endpoint http://127.0.0.1:8000 --model {source.name}"]
