"""llama.cpp's server on loopback, until standard input is closed. Imports nothing of Tunewright: python llama_server.py FILE CONTEXT"""

from __future__ import annotations

import os
import sys

import xllamacpp

if __name__ == "__main__":
    wanted = xllamacpp.CommonParams()
    wanted.model.path = sys.argv[1]
    wanted.n_ctx = int(sys.argv[2])
    wanted.n_parallel = 1
    wanted.n_gpu_layers = 0
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)  # more than there are cores for only wait for each other
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = threads
    wanted.port = 0
    wanted.use_jinja = True
    wanted.warmup = False
    wanted.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED  # it rounds to half precision
    wanted.verbosity = 0
    wanted.cache_type_k = wanted.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    server = xllamacpp.Server(wanted)
    print(f"ADDRESS {server.listening_address}", flush=True)
    sys.stdin.read()
