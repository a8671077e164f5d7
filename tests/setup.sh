#!/usr/bin/env bash
# Installs what the checks need on a Debian-like Linux, by package name, as root or through sudo. Safe to run again.
# What it cannot install it names, and tests/check.sh then prints SKIPPED for the checks that need it.
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif [ -t 0 ]; then
    sudo "$@"
  else
    sudo -n "$@"
  fi
}

# Installs those of the named Debian packages that are missing.
packages() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "installing ${missing[*]}"
  if ! { as_root apt-get update -qq &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "${missing[@]}" >/dev/null; }; then
    echo "not installed: ${missing[*]}" >&2
    return 1
  fi
}

# The standard library for another target, from rustup; or else Debian's toolchain, which can build it from source.
rust_target() {
  [ -d "$(rustc --print target-libdir --target "$1")" ] || rustup target add "$1" ||
    packages rustc-web cargo-web rust-web-src || true
}

# The Python environment with the oracles; made anew when their versions change.
python_environment() {
  local place=${CANDOR_VENV:-target/venv} wanted=tests/requirements.txt
  cmp -s "$wanted" "$place/installed.txt" && return
  python3 -c 'import venv, ensurepip' 2>/dev/null || packages python3 python3-venv || return
  echo "installing the Python oracles in $place"
  rm -rf "$place"
  python3 -m venv "$place"
  "$place/bin/pip" install --quiet --only-binary :all: -r "$wanted"
  cp "$wanted" "$place/installed.txt"
}

command -v cc >/dev/null && command -v c++ >/dev/null || packages gcc g++ libc6-dev || true
command -v cargo >/dev/null || packages rustup || true
if ! command -v cargo >/dev/null; then
  echo "There is no cargo here: install Rust 1.95 or newer with rustup, then run this again." >&2
  exit 1
fi
rust_target thumbv7em-none-eabihf
rust_target thumbv8m.main-none-eabihf
rust_target aarch64-unknown-linux-gnu
rust_target aarch64-apple-darwin
packages qemu-system-arm binutils-arm-none-eabi || true
packages qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross || true
packages valgrind || true
python_environment || echo "no Python environment: the oracles will be missing" >&2
