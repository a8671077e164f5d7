#!/usr/bin/env bash
# Builds candor with its CUDA device on a machine that has neither a GPU nor a CUDA toolkit: the compiler and the
# libraries come as wheels, the driver's library is a stub that only links.
#
#   devices/gpu/build_cuda.sh [FOLDER]     FOLDER (target/cuda by default) takes wheels, build and binary
#
# With a toolkit of its own (CUDA_HOME set) a machine needs only:
#   cargo build --release -p candor-cli --features cuda
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$(realpath -m "${1:-target/cuda}")
mkdir -p "$folder"

# The toolkit, once.
if [ ! -x "$folder/venv/bin/python" ]; then python3 -m venv "$folder/venv"; fi
"$folder/venv/bin/pip" install --quiet "nvidia-cuda-nvcc==13.0.*" "nvidia-cuda-runtime==13.0.*" \
  "nvidia-cuda-cccl==13.0.*" "nvidia-cuda-crt==13.0.*" "nvidia-nvvm==13.0.*" "nvidia-cuda-nvrtc==13.0.*" \
  "nvidia-cublas==13.*" nvidia-curand
toolkit=$(echo "$folder"/venv/lib/python3*/site-packages/nvidia/cu13)
ln -sfn lib "$toolkit/lib64"
for library in cudart cublas cublasLt curand nvrtc; do
  ln -sfn "$(basename "$(ls "$toolkit"/lib/lib$library.so.* | head -1)")" "$toolkit/lib/lib$library.so"
done

# Every kernel for every architecture, so that a failure names the one that does not compile.
for architecture in 75 87 90; do
  "$toolkit/bin/nvcc" --cubin --fmad=false -O3 -std=c++17 "-arch=sm_$architecture" \
    devices/gpu/kernels/candor.cu -o "$folder/candor_sm_$architecture.cubin"
  echo "kernels compile for sm_$architecture"
done

# The driver comes with the GPU; here a library of its name exports every function that may be asked for.
cargo fetch --locked
driver=$(cargo metadata --locked --format-version 1 --features candor-gpu/cuda |
  "$folder/venv/bin/python" -c '
import json, os, sys
packages = json.load(sys.stdin)["packages"]
print(next(os.path.dirname(p["manifest_path"]) for p in packages if p["name"] == "cudarc"))')
grep -rhoE '\bfn cu[A-Z][A-Za-z0-9_]*' "$driver/src/driver/sys" | sed 's/^fn //' | sort -u |
  sed 's/.*/int &(void) { return 100; }/' >"$folder/driver.c"
cc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$toolkit/lib/libcuda.so" "$folder/driver.c"

export CUDA_HOME=$toolkit CUDA_PATH=$toolkit CUDA_ROOT=$toolkit CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90}
export PATH=$toolkit/bin:$PATH LIBRARY_PATH=$toolkit/lib
export RUSTFLAGS="-L $toolkit/lib -C link-arg=-Wl,--unresolved-symbols=ignore-in-shared-libs"
cargo build --locked --release -p candor-cli --features cuda --target-dir "$folder/build"
ls -l "$folder/build/release/candor"

# For a Jetson as far as types and kernels go: the libraries to link with are on none but it.
CUDA_COMPUTE_CAP=87 cargo check --locked --release -p candor-cli --features cuda --target aarch64-unknown-linux-gnu \
  --target-dir "$folder/build"
echo "type-checks for aarch64"
