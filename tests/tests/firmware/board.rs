//! Builds binaries for the boards, runs them in QEMU, and counts what they execute.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use candor_tests::{require, workspace_root};

use crate::log;

/// A board that QEMU emulates.
pub struct Board {
    /// QEMU's name.
    pub name: &'static str,
    /// Rust's target and the core.
    target: &'static str,
    cpu: &'static str,
    /// Feature of `candor-firmware`, which is also the tier.
    pub tier: &'static str,
}

/// An M4 and an M7 with the DSP extension, and an M55 with Helium.
pub const BOARDS: [Board; 3] = [
    Board { name: "mps2-an386", target: "thumbv7em-none-eabihf", cpu: "cortex-m4", tier: "dsp" },
    Board { name: "mps2-an500", target: "thumbv7em-none-eabihf", cpu: "cortex-m7", tier: "dsp" },
    Board { name: "mps3-an547", target: "thumbv8m.main-none-eabihf", cpu: "cortex-m55", tier: "helium" },
];

/// Seconds after which an emulation has hung.
const SECONDS_MAX: &str = "600";

/// Makes an emulation count its time by instructions, no faster than the machine's clock: when the machine
/// is busy the board's clock waits, and its watchdog does not bite.
pub const UNHURRIED: [&str; 2] = ["-icount", "shift=6,align=on"];

/// What an emulation said and executed.
pub struct Run {
    pub lines: Vec<String>,
    pub instructions: u64,
}

/// A binary for a board.
pub struct Build {
    board: &'static Board,
    pub elf: PathBuf,
}

/// The plugin that counts instructions, when all there is to need is there.
pub fn tools() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND.get_or_init(|| require("qemu-arm", find())).as_deref()
}

fn find() -> Result<PathBuf, String> {
    Command::new("qemu-system-arm")
        .arg("--version")
        .output()
        .map_err(|error| format!("qemu-system-arm does not start ({error}); run tests/setup.sh"))?;
    for board in &BOARDS {
        if !rustup_has(board.target) && !Path::new("/usr/lib/rustlib/src/rust/library").exists() {
            return Err(format!("there is no Rust for {}; run tests/setup.sh", board.target));
        }
    }
    let plugin = target().join("instructions.so");
    let source = workspace_root().join("tests/benches/instructions.c");
    let compiled =
        Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&plugin).arg(source).output();
    match compiled {
        Ok(output) if output.status.success() => Ok(plugin),
        _ => Err("the C compiler cannot make a plugin for QEMU".into()),
    }
}

/// A target folder of its own: other flags, other compilers.
pub fn target() -> PathBuf {
    let base =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace_root().join("target"), PathBuf::from);
    let folder = base.join("firmware");
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}

pub fn rustup_has(target: &str) -> bool {
    let output = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

pub fn check(what: &str, output: &Output) {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Build {
    /// Builds binary `name` for `board` with these settings of its `build.rs` and sources.
    pub fn new(board: &'static Board, name: &str, settings: &[(&str, &str)]) -> Self {
        Self::with_profile(board, name, "firmware", settings)
    }

    /// As [`Build::new`] in another profile.
    pub fn with_profile(board: &'static Board, name: &str, profile: &str, settings: &[(&str, &str)]) -> Self {
        Self::in_tree(&workspace_root(), &target(), board, name, profile, settings)
    }

    /// Builds in the tree at `root`, with its own folder for what is built.
    pub fn in_tree(
        root: &Path,
        folder: &Path,
        board: &'static Board,
        name: &str,
        profile: &str,
        settings: &[(&str, &str)],
    ) -> Self {
        let upper = board.target.to_uppercase().replace(['-', '.'], "_");
        let mut cargo = if rustup_has(board.target) {
            Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        } else {
            let mut cargo = Command::new("/usr/bin/cargo");
            cargo.env_remove("RUSTUP_TOOLCHAIN").env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
            cargo.arg("-Zbuild-std=core").env(format!("CARGO_TARGET_{upper}_LINKER"), "arm-none-eabi-ld");
            cargo
        };
        let features = format!("board,{}", board.tier);
        cargo.current_dir(root).env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTFLAGS");
        cargo.args(["build", "--locked", "--quiet", "-p", "candor-firmware", "--bin", name]);
        cargo.args(["--profile", profile, "--features", &features, "--target", board.target, "--target-dir"]);
        cargo.arg(folder).env("DEFMT_LOG", "info").envs(settings.iter().copied());
        cargo.env(format!("CARGO_TARGET_{upper}_RUSTFLAGS"), format!("-C target-cpu={}", board.cpu));
        check(&format!("building {name} for {}", board.name), &cargo.output().expect("cargo starts"));
        // The next build of the same name replaces the file.
        let built = folder.join(board.target).join(profile).join(name);
        let settings: u32 = settings.iter().map(|(_, value)| hash(value)).sum();
        let own = folder.join(format!("{name}-{}-{settings}", board.name));
        std::fs::copy(&built, &own).expect("the binary can be copied");
        Self { board, elf: own }
    }

    /// Runs until it stops by itself, with a number for it to read.
    pub fn run(&self, argument: u32) -> Run {
        let plugin = tools().expect("asked before");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (said, counted) = (folder.path().join("log"), folder.path().join("counts"));
        let serial = format!("file:{}", said.display());
        let mut qemu = Command::new("timeout");
        qemu.args([SECONDS_MAX, "qemu-system-arm", "-machine", self.board.name, "-display", "none"]);
        qemu.args(["-monitor", "none", "-serial", "null", "-serial"]).arg(serial);
        qemu.args(["-semihosting-config", &format!("enable=on,target=native,arg=board,arg={argument}")]);
        qemu.arg("-plugin").arg(plugin).args(["-d", "plugin", "-D"]).arg(&counted);
        let output = qemu.arg("-kernel").arg(&self.elf).output().expect("QEMU starts");
        let lines = log::decode(&self.elf, &std::fs::read(&said).unwrap_or_default());
        let board = self.board.name;
        assert!(output.status.success(), "{board}: {lines:?} {}", String::from_utf8_lossy(&output.stderr));
        let counts = std::fs::read_to_string(&counted).expect("the plugin counts");
        let count = |line: &str| line.split(' ').nth(1).and_then(|count| count.parse::<u64>().ok());
        Run { lines, instructions: counts.lines().filter_map(count).sum() }
    }

    /// Bytes that lie in flash: code, constants and the first values of variables.
    pub fn flash_bytes(&self) -> usize {
        self.sections([".vector_table", ".text", ".rodata", ".data"])
    }

    /// Bytes of variables.
    pub fn ram_bytes(&self) -> usize {
        self.sections([".data", ".bss", ".uninit", ""])
    }

    /// What is written to flash, section by section.
    pub fn image(&self) -> Vec<Vec<u8>> {
        let elf = std::fs::read(&self.elf).expect("the binary was built");
        [".vector_table", ".text", ".rodata", ".data"].map(|name| log::section(&elf, name)).to_vec()
    }

    fn sections(&self, names: [&str; 4]) -> usize {
        let elf = std::fs::read(&self.elf).expect("the binary was built");
        names.iter().filter(|name| !name.is_empty()).map(|name| log::section_bytes(&elf, name)).sum()
    }
}

/// Copies what git tracks of this tree.
pub fn copy_tree(root: &Path) {
    let files = Command::new("git").args(["ls-files", "-z"]).current_dir(workspace_root()).output();
    let files = files.expect("git lists the tree").stdout;
    for file in String::from_utf8_lossy(&files).split_terminator('\0') {
        let to = root.join(file);
        std::fs::create_dir_all(to.parent().expect("a file lies in a folder")).expect("folders can be made");
        std::fs::copy(workspace_root().join(file), to).expect("files can be copied");
    }
}

/// A small number that tells settings apart.
fn hash(text: &str) -> u32 {
    text.bytes().fold(5381, |hash: u32, byte| hash.wrapping_mul(33) ^ u32::from(byte)) >> 8
}
