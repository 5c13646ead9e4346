"""llama.cpp's server with a GGUF file, by the wheel xllamacpp, until standard input ends.

python llamacpp_server.py MODEL.gguf PORT SLOTS
"""

from __future__ import annotations

import sys

import xllamacpp


def main() -> None:
    path, port, slots = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.hostnames, parameters.port = ["127.0.0.1"], port
    parameters.n_parallel, parameters.n_ctx = slots, slots * 512
    parameters.warmup = parameters.fit_params = False
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
