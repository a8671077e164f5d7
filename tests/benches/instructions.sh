#!/usr/bin/env bash
# Instructions per MAC of packages on the AArch64 tiers, counted exactly by QEMU: counts repeat, unlike times, and show
# what a change to a kernel does. They are not cycles.
#
#   tests/benches/instructions.sh PACKAGE...
#   TIERS="neondot" CPU=cortex-a76 PROFILE=target/profile tests/benches/instructions.sh PACKAGE
#
# A line is: package, tier, MACs of a frame, instructions of a frame, instructions per MAC. One frame is what a run of
# `candor bench` executes beyond a run with one frame less. PROFILE names a folder for counts per block of code, whose
# addresses `aarch64-linux-gnu-addr2line` resolves. Needs what tests/setup.sh installs for the emulated tests.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=aarch64-unknown-linux-gnu
library=/usr/aarch64-linux-gnu
build=${CARGO_TARGET_DIR:-target}
tiers=${TIERS:-neon neondot i8mm}
work=${PROFILE:-$(mktemp -d)}
mkdir -p "$work"
[ -n "${PROFILE:-}" ] || trap 'rm -rf "$work"' EXIT

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
if [ -d "$(rustc --print target-libdir --target $target)" ]; then
  cargo build --locked --quiet --release --target $target -p candor-cli
else
  build=$build/from-source
  env -u RUSTUP_TOOLCHAIN RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo build --locked --quiet --release \
    --target $target -Zbuild-std=std,panic_abort --target-dir "$build" -p candor-cli
fi
cc -O2 -shared -fPIC -o "$work/instructions.so" tests/benches/instructions.c

# counted FRAMES PACKAGE TIER: runs the benchmark; prints its MACs and the instructions of the whole run. Numbers are
# printed by %.0f because %d stops at 2^31 in some versions of awk.
counted() {
  local counts="$work/$(basename "$2" .candor).$3.$1"
  env -i qemu-aarch64 -cpu "${CPU:-max}" -L $library -plugin "$work/instructions.so" -d plugin -D "$counts" \
    "$build/$target/release/candor" bench "$2" --frames "$1" --tier "$3" --threads 1 --json |
    awk -F'[:,]' '/"macs"/ { printf "%.0f ", $2 }'
  awk '{ sum += $2 } END { printf "%.0f\n", sum }' "$counts"
}

for package in "$@"; do
  for tier in $tiers; do
    read -r macs fewer < <(counted 1 "$package" "$tier")
    read -r macs more < <(counted 2 "$package" "$tier")
    awk -v name="$(basename "$package" .candor)" -v tier="$tier" -v macs="$macs" -v count=$((more - fewer)) \
      'BEGIN { printf "%-20s %-8s %12.0f %12.0f %8.4f\n", name, tier, macs, count, count / macs }'
  done
done
