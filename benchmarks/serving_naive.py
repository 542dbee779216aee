"""The server that everybody writes first: FastAPI, and `model.generate` for each request behind a lock. serving_naive.py MODEL PORT"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

import torch
import transformers
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

model: Any = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
app, lock = FastAPI(), threading.Lock()


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/v1/chat/completions")
def chat(body: dict[str, Any]) -> StreamingResponse:
    found = tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True, return_tensors="pt", return_dict=True)
    return StreamingResponse(answer(found, int(body["max_tokens"])), media_type="text/event-stream")


def answer(prompt: Any, most: int) -> Iterator[str]:
    size = prompt["input_ids"].shape[1]
    with lock:
        streamer = transformers.TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
        out: list[Any] = []

        def run() -> None:
            with torch.inference_mode():
                out.append(model.generate(**prompt, max_new_tokens=most, do_sample=False, streamer=streamer))

        thread = threading.Thread(target=run)
        thread.start()
        for text in streamer:
            yield f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': text}, 'finish_reason': None}]})}\n\n"
        thread.join()
    usage = {"prompt_tokens": size, "completion_tokens": out[0].shape[1] - size}
    yield f"data: {json.dumps({'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n"


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
