#!/usr/bin/env bash
# Twelve minutes of one GPU: first toy models, to see whether everything works, then the paper's figure at a small width,
# then cells of the paper's own width.
#
#   bash recipes/paper-full/gpu.sh DIR
#
# Needs serialformer with its extras torch and plot, and a torch that finds the GPU. Runs whose rows are in the recipes are
# not trained again. Called again, it trains what is left.
set -euo pipefail

directory=${1:?usage: bash recipes/paper-full/gpu.sh DIR}
device=${DEVICE:-cuda}
minutes=${MINUTES:-9}
recipes=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$directory"
export OMP_NUM_THREADS=1

sweep() {
  serialformer sweep "$recipes/$1" -o "$directory/$2" --stacks "$3" --device "$device" --minutes "$4"
}

[ -e "$directory/circuits.csv" ] || cp "$recipes/circuit-value/expected.csv" "$directory/circuits.csv"
[ -e "$directory/figure.csv" ] || cp "$recipes/paper-figure/expected.csv" "$directory/figure.csv"

sweep paper-full/recipe.py:toy toy.csv 4 1
sweep circuit-value circuits.csv 10 $((minutes / 3))
sweep paper-figure figure.csv 10 $((minutes / 3))
sweep paper-full/recipe.py:quick quick.csv 4 $((minutes - 2 * (minutes / 3)))
serialformer merge "$directory"/{circuits,figure,quick}.csv -o "$directory/gpu.csv"
serialformer plot "$directory/gpu.csv" -o "$directory/gpu.png" --kind paper
