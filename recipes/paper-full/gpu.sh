#!/usr/bin/env bash
# Cells of the paper's own width on one GPU, within twelve minutes: first every cell at toy size, then the real ones.
#
#   bash recipes/paper-full/gpu.sh DIR
#
# Needs serialformer with its extra torch, and a torch that finds the GPU. Called again, it goes on where it stopped.
set -euo pipefail

directory=${1:?usage: bash recipes/paper-full/gpu.sh DIR}
device=${DEVICE:-cuda}
minutes=${MINUTES:-9}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$directory"

python -c "import torch; torch.empty(1, device='$device'); print(torch.__version__, '$device')"
timeout 120 python "$here/gpu.py" -o "$directory/toy.csv" --device "$device" --minutes 1 --toy
timeout $((60 * (minutes + 1))) python "$here/gpu.py" -o "$directory/gpu.csv" --device "$device" --minutes "$minutes"
serialformer plot "$directory/gpu.csv" -o "$directory/gpu.png" --kind paper
