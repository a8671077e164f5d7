#!/usr/bin/env bash
# Sets up what is missing, then runs every check of the project and stops at the first that fails.
#
# A check whose tool is missing prints `SKIPPED name: why`. To make that a failure, list the name:
#   CANDOR_REQUIRE=thumb,qemu-arm,qemu-aarch64,data,oracle,valgrind,cxx,avx2 tests/check.sh
set -euo pipefail
cd "$(dirname "$0")/.."

optional_things="thumb apple qemu-arm qemu-aarch64 data oracle valgrind cxx avx2 avxvnni avx512vnni amx chromium"
export CANDOR_REQUIRE=${CANDOR_REQUIRE:-}
export CANDOR_DATA=${CANDOR_DATA:-$PWD/../shared/data}
export CANDOR_PYTHON=${CANDOR_PYTHON:-$PWD/${CANDOR_VENV:-target/venv}/bin/python}
log=target/check.log

# step NAME COMMAND...: announces a check, runs it and says how long it took.
step() {
  local name=$1 start=$SECONDS
  shift
  printf '\n== %s\n' "$name"
  "$@"
  printf -- '-- %s: %d s\n' "$name" $((SECONDS - start))
}

# optional NAME WHY COMMAND...: whether an optional thing is there, which the command tells.
optional() {
  local name=$1 why=$2
  shift 2
  if "$@" >/dev/null 2>&1; then
    return 0
  fi
  echo "SKIPPED $name: $why" | tee -a "$log"
  if [[ ",$CANDOR_REQUIRE," == *",$name,"* ]]; then
    echo "CANDOR_REQUIRE lists $name" >&2
    exit 1
  fi
  return 1
}

known_requirements() {
  local name
  for name in ${CANDOR_REQUIRE//,/ }; do
    if [[ " $optional_things " != *" $name "* ]]; then
      echo "CANDOR_REQUIRE lists $name; it may list: $optional_things" >&2
      exit 2
    fi
  done
}

# What the tests themselves look for, told before the long work.
optional_inputs() {
  optional data "$CANDOR_DATA does not exist; CANDOR_DATA names the folder" test -d "$CANDOR_DATA" || true
  optional oracle "$CANDOR_PYTHON lacks the oracles; tests/setup.sh installs them" \
    "$CANDOR_PYTHON" -c 'import numpy, scipy, sklearn, onnx, onnxruntime' || true
  if [ "$(uname -m)" = x86_64 ]; then
    optional avx2 "this CPU has no AVX2" grep -qw avx2 /proc/cpuinfo || true
    optional avxvnni "this CPU has no AVX-VNNI" grep -qw avx_vnni /proc/cpuinfo || true
    optional avx512vnni "this CPU has no AVX-512 VNNI" grep -qw avx512_vnni /proc/cpuinfo || true
    optional amx "this CPU has no AMX tiles of bytes" grep -qw amx_int8 /proc/cpuinfo || true
  fi
}

# cargo_for TARGET STD COMMAND...: cargo for another target, with rustup's standard library where it is installed, and
# with the crates STD built from source by Debian's toolchain where it is not.
cargo_for() {
  local target=$1 std=$2 command=$3
  shift 3
  if rustup_has "$target"; then
    cargo "$command" --locked --target "$target" "$@"
  else
    env -u RUSTUP_TOOLCHAIN RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1 \
      /usr/bin/cargo "$command" --locked --target "$target" "-Zbuild-std=$std" --target-dir target/from-source "$@"
  fi
}

rustup_has() { [ -d "$(rustc --print target-libdir --target "$1")" ]; }

can_build_for() { rustup_has "$1" || { [ -x /usr/bin/cargo ] && [ -d /usr/lib/rustlib/src/rust/library ]; }; }

can_emulate() {
  can_build_for aarch64-unknown-linux-gnu && command -v qemu-aarch64 && command -v aarch64-linux-gnu-gcc &&
    [ -d /usr/aarch64-linux-gnu/lib ]
}

build_for_microcontrollers() {
  cargo_for thumbv7em-none-eabihf core build -p candor-core -p candor-cpu --no-default-features
}

# emulated_tests CPU TIERS: core, the kernels and the firmware's library on an emulated ARM CPU, which must offer the comma list of tiers.
emulated_tests() {
  local library=/usr/aarch64-linux-gnu
  CANDOR_REQUIRE=$2 CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="timeout 900 qemu-aarch64 -cpu $1 -L $library -E LD_LIBRARY_PATH=$library/lib" \
    cargo_for aarch64-unknown-linux-gnu std,panic_abort test -p candor-core -p candor-cpu -p candor-firmware --lib 2>&1 | tee -a "$log"
}

host_tests() { cargo test --locked --workspace 2>&1 | tee -a "$log"; }

# More damaged frames and more random schedules than the tests run by themselves.
supervisor_at_length() {
  CANDOR_LINK_FRAMES=10000000 cargo test --locked --release -p candor-core --lib link::tests::corruption -- --nocapture
  CANDOR_SCHEDULES=1000000 cargo test --locked --release -p candor-firmware --lib supervisor::tests::schedules -- --nocapture
}

# The fuzz targets are a workspace of their own, which follows the versions of this one.
fuzz_targets() {
  cp Cargo.lock tests/fuzz/Cargo.lock
  cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
  cargo clippy --manifest-path tests/fuzz/Cargo.toml --target-dir target/fuzz -- -D warnings
}

# A count that noise cannot blur: the embedded package's frame may not take many more instructions than stated.
instructions_of_a_frame() {
  cargo build --locked --release --quiet --bin candor
  tests/benches/callgrind.py
}

# Types alone: no machine but a Mac has the libraries to link, and none of the shaders is compiled.
types_for_metal() {
  cargo_for aarch64-apple-darwin std,panic_abort check -p candor-gpu --features metal
}

# The binary with Candle's devices: the embedded package's golden frames on the one that every machine has.
frames_on_candle() {
  cargo build --locked --quiet --workspace --features candor-cli/candle --bin candor
  target/debug/candor selftest models/packages/phantom.candor --device candle-cpu
}

# Every verb that a fenced block of the README gives to one of the programs is one that the program has.
readme_verbs() {
  local program verb
  while read -r program verb; do
    echo "$program $verb"
    cargo run --locked --quiet --bin "$program" -- "$verb" --help >/dev/null
  done < <(awk '/^```/ { fenced = !fenced } fenced' README.md | sed 's/#.*//' |
    grep -oE '\bcandor(-lab)?( --)? [a-z]+' | sed 's/ -- / /' | sort -u)
}

known_requirements
step setup tests/setup.sh
mkdir -p target
: >"$log"
step "optional inputs" optional_inputs
step format cargo fmt --all --check
step lints cargo clippy --locked --workspace --all-targets -- -D warnings
step "lints with Candle's devices" cargo clippy --locked --workspace --features candor-cli/candle -- -D warnings
step "lints of the fuzz targets" fuzz_targets
step documentation env RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet
if optional thumb "no Rust for thumbv7em-none-eabihf; tests/setup.sh installs it" can_build_for thumbv7em-none-eabihf; then
  step "microcontroller build" build_for_microcontrollers
fi
if optional apple "no Rust for aarch64-apple-darwin; tests/setup.sh installs it" can_build_for aarch64-apple-darwin; then
  step "types for Metal" types_for_metal
fi
if optional qemu-aarch64 "no Rust, linker or emulator for aarch64; tests/setup.sh installs them" can_emulate; then
  step "tests on a Cortex-A57" emulated_tests cortex-a57 neon
  step "tests on a Cortex-A76" emulated_tests cortex-a76 neon,neondot
  step "tests on every ARM extension" emulated_tests max neon,neondot,i8mm
fi
# Those of the boards in QEMU are among them; without QEMU they say so.
step "tests on this machine" host_tests
step "ten million damaged frames, a million schedules" supervisor_at_length
if optional valgrind "no valgrind; tests/setup.sh installs it" command -v valgrind; then
  step "instructions of a frame" instructions_of_a_frame
fi
step "frames on Candle's CPU device" frames_on_candle
step "README commands" readme_verbs

printf '\n'
grep '^SKIPPED' "$log" | sort -u || true
awk -v seconds=$SECONDS '
  /^SKIPPED/ && !seen[$0]++ { skipped++ }
  /^test result:/ { passed += $4; failed += $6 }
  END { printf "all checks in %d s\ncheck: %d passed, %d failed, %d skipped\n", seconds, passed, failed, skipped }' "$log"
