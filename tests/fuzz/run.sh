#!/usr/bin/env bash
# Fuzzes each reader for so many seconds (default 600), beginning from real files: tests/fuzz/run.sh [SECONDS]
# Needs a nightly toolchain, cargo-fuzz (cargo install --locked cargo-fuzz) and what tests/setup.sh installs.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-600}
data=${CANDOR_DATA:-../shared/data}
python=${CANDOR_PYTHON:-target/venv/bin/python}
corpus=tests/fuzz/corpus
seeds=tests/fuzz/target/seeds

# fuzz TARGET BYTES_MAX SEEDS...: SEEDS are files or folders that the corpus begins with.
fuzz() {
  local target=$1 bytes_max=$2 seed number=0
  shift 2
  mkdir -p "$corpus/$target"
  while read -r seed; do
    number=$((number + 1))
    cp "$seed" "$corpus/$target/seed-$number"
  done < <(for place in "$@"; do [ ! -e "$place" ] || find "$place" -type f -size "-${bytes_max}c" | sort; done)
  echo "fuzzing $target for $seconds s from $number seeds"
  # Without a sanitizer: the code is safe Rust, and a panic, an overflow or a timeout is found all the same.
  cargo +nightly fuzz run --fuzz-dir tests/fuzz --sanitizer none "$target" "$corpus/$target" -- \
    -max_total_time="$seconds" -max_len="$bytes_max" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
}

cp Cargo.lock tests/fuzz/Cargo.lock
# The package reader begins with small packages that hold every common operator.
"$python" tests/fuzz/seeds.py "$seeds"
for model in "$seeds"/*.onnx; do
  cargo run --locked --release --bin candor-lab -- pack "$model" -o "${model%.onnx}.candor"
done
fuzz package_reader 32768 "$seeds"/*.candor
fuzz onnx_import 65536 "$seeds"/*.onnx "$data/onnx-node"
