//! Compiles the kernels for CUDA into one artefact that holds every architecture named here, when the feature
//! `cuda` is on. Nothing is built on the device.

use std::path::PathBuf;
use std::process::Command;

/// Compute capabilities with code of their own: Turing, Orin, Hopper.
const ARCHITECTURES: [u32; 3] = [75, 87, 90];
/// The one whose PTX later cards compile.
const PORTABLE: u32 = 90;

fn main() {
    println!("cargo::rerun-if-changed=kernels");
    println!("cargo::rerun-if-env-changed=CUDA_HOME");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let compiler = match std::env::var_os("CUDA_HOME") {
        Some(home) => PathBuf::from(home).join("bin/nvcc"),
        None => PathBuf::from("nvcc"),
    };
    let output = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("candor.fatbin");
    let mut command = Command::new(&compiler);
    // A fused multiply-add would round once where the specification rounds twice.
    command.args(["--fatbin", "--fmad=false", "-O3", "-std=c++17", "-o"]).arg(&output);
    for architecture in ARCHITECTURES {
        command.arg(format!("-gencode=arch=compute_{architecture},code=sm_{architecture}"));
    }
    command.arg(format!("-gencode=arch=compute_{PORTABLE},code=compute_{PORTABLE}"));
    let outcome = command.arg("kernels/candor.cu").status();
    let problem = match outcome {
        Ok(status) if status.success() => return,
        Ok(status) => format!("{} ends with {status}", compiler.display()),
        Err(error) => format!("{} does not start ({error}); CUDA_HOME names the toolkit", compiler.display()),
    };
    println!("cargo::error={problem}");
}
