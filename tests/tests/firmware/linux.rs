//! The segmenter as a program of Linux on emulated processors of the Jetson's kind.

use std::path::Path;
use std::process::Command;

use candor_tests::{require, workspace_root};

use crate::board::{check, rustup_has, target};

const TARGET: &str = "aarch64-unknown-linux-gnu";
const LIBRARY: &str = "/usr/aarch64-linux-gnu";

/// Processors, and the tiers that are their best.
pub const PROCESSORS: [(&str, &str); 3] =
    [("cortex-a57", "neon"), ("cortex-a76", "neondot"), ("max", "i8mm")];

/// Whether there is all that this needs.
pub fn tools() -> bool {
    let find = || {
        for program in ["qemu-aarch64", "aarch64-linux-gnu-gcc"] {
            let started = Command::new(program).arg("--version").output();
            started.map_err(|error| format!("{program} does not start ({error}); run tests/setup.sh"))?;
        }
        let sources = Path::new("/usr/lib/rustlib/src/rust/library").exists();
        if rustup_has(TARGET) || sources {
            Ok(())
        } else {
            Err(format!("there is no Rust for {TARGET}; run tests/setup.sh"))
        }
    };
    require("qemu-aarch64", find()).is_some()
}

/// Builds the program with the package that `model` describes and runs it on every processor: what each
/// says.
pub fn run(model: &Path) -> [Vec<String>; 3] {
    let mut cargo = if rustup_has(TARGET) {
        Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    } else {
        let mut cargo = Command::new("/usr/bin/cargo");
        cargo.env_remove("RUSTUP_TOOLCHAIN").env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
        cargo.arg("-Zbuild-std=std,panic_abort");
        cargo
    };
    cargo.current_dir(workspace_root()).env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTFLAGS");
    cargo.args(["build", "--locked", "--quiet", "-p", "candor-firmware", "--bin", "segmenter-linux"]);
    cargo.args(["--features", "linux", "--release", "--target", TARGET, "--target-dir"]).arg(target());
    cargo.env("CANDOR_MODEL", model);
    cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
    check("building segmenter-linux", &cargo.output().expect("cargo starts"));
    let program = target().join(TARGET).join("release/segmenter-linux");
    PROCESSORS.map(|(processor, _)| {
        let mut qemu = Command::new("timeout");
        qemu.args(["600", "qemu-aarch64", "-cpu", processor, "-L", LIBRARY]);
        qemu.args(["-E", &format!("LD_LIBRARY_PATH={LIBRARY}/lib")]).arg(&program);
        let output = qemu.output().expect("QEMU starts");
        check(processor, &output);
        String::from_utf8_lossy(&output.stdout).lines().map(String::from).collect()
    })
}
