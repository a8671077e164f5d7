//! Tells the linker what a board's memory is, for the binaries alone.

use std::path::Path;
use std::{env, fs, process};

/// Bytes of a memory that stays empty below the stack, so that an overflow meets no variable but a fault.
const STACK_DEFAULT: u32 = 16 << 10;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for name in ["CANDOR_FLASH", "CANDOR_RAM", "CANDOR_STACK"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    if env::var_os("CARGO_FEATURE_BOARD").is_none() {
        return;
    }
    if let Err(why) = link() {
        eprintln!("{why}");
        process::exit(1);
    }
}

fn link() -> Result<(), String> {
    let flash = kibibytes("CANDOR_FLASH", 512 << 10)?;
    let ram = kibibytes("CANDOR_RAM", 128 << 10)?;
    let stack = kibibytes("CANDOR_STACK", STACK_DEFAULT)?;
    if stack >= ram {
        return Err("CANDOR_STACK leaves nothing of CANDOR_RAM".into());
    }
    // The stack lies below all variables and grows towards addresses that do not exist.
    let (start, bottom) = (0x2000_0000_u32, 0x2000_0000 + stack);
    let memory = format!(
        "MEMORY {{\n  FLASH : ORIGIN = 0x0, LENGTH = {flash}\n  RAM : ORIGIN = {bottom}, LENGTH = {}\n}}\n\
         _stack_start = {bottom};\n_stack_end = {start};\n",
        ram - stack
    );
    let place = env::var("OUT_DIR").map_err(|error| error.to_string())?;
    let file = Path::new(&place).join("memory.x");
    fs::write(&file, memory).map_err(|error| format!("{}: {error}", file.display()))?;
    println!("cargo:rustc-link-search={place}");
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    Ok(())
}

/// The KiB that an environment variable states, in bytes.
fn kibibytes(name: &str, default: u32) -> Result<u32, String> {
    match env::var(name) {
        Err(_) => Ok(default),
        Ok(text) => {
            let number = text.parse::<u32>().ok().and_then(|kib| kib.checked_mul(1 << 10));
            number.ok_or(format!("{name} is '{text}', not a number of KiB"))
        }
    }
}
