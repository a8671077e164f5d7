//! The microcontrollers in QEMU: the bytes of the host from every board, and what they need, in one table.
//!
//! `cargo firmware` runs these tests and shows the table. Optional thing `qemu-arm`.

mod board;
mod linux;
mod log;
mod model;
mod networks;
mod stack;
mod stream;
mod supervisor;

use std::fmt::Write;

use board::{BOARDS, Build};
use candor_core::digest::{Chain, short};
use candor_core::kernels::Reference;
use candor_firmware::trials::{self, Memory};
use model::Expected;

/// Random convolutions that every board computes.
const TRIALS: u64 = 10_000;

/// Most flash beyond a package.
const FLASH_MAX: usize = 96 << 10;

/// Numbers of one board and package.
struct Figures {
    board: &'static str,
    package: &'static str,
    flash: usize,
    package_bytes: usize,
    static_ram: usize,
    arena: usize,
    stack: usize,
    instructions: u64,
    macs: u64,
}

impl Figures {
    fn per_mac(&self) -> f64 {
        self.instructions as f64 / self.macs as f64
    }
}

#[test]
fn ten_thousand_random_convolutions_are_those_of_the_host_on_every_board() {
    if board::tools().is_none() {
        return;
    }
    let mut memory = Box::new(Memory::new());
    let expected: Vec<u64> = (0..TRIALS / 100)
        .map(|hundred| {
            let mut chain = Chain::default();
            for number in 100 * hundred..100 * (hundred + 1) {
                chain.add(trials::run(number, &Reference, &mut memory));
            }
            short(chain.finish())
        })
        .collect();
    for board in &BOARDS {
        let build = Build::new(board, "trials", &[("CANDOR_RAM", "128")]);
        let lines = build.run((TRIALS / 100) as u32).lines;
        assert_eq!(log::value(&lines, "tier"), board.tier, "{}", board.name);
        for (hundred, expected) in expected.iter().enumerate() {
            let line = format!("trials {hundred} {expected:016x}");
            assert!(lines.contains(&line), "{}: no line '{line}' in {lines:?}", board.name);
        }
    }
}

#[test]
fn whole_packages_give_the_bytes_of_the_host_on_every_board() {
    if board::tools().is_none() {
        return;
    }
    let phantom = std::fs::read(candor_tests::workspace_root().join("models/packages/phantom.candor"));
    let phantom = phantom.expect("the package is part of the tree");
    // With KiB of RAM, and instructions per MAC that are not to be exceeded with dual products and Helium.
    let packages = [
        ("phantom 120x160", phantom, "512", [1.3, 0.40]),
        ("unet8 96x96", networks::unet8(96), "128", [1.3, 0.40]),
    ];
    let mut rows = Vec::new();
    for (name, bytes, ram, most) in &packages {
        let package = candor::Package::load(bytes).expect("the package is sound");
        let expected = Expected::new(&package);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = model::write(folder.path(), &package, bytes);
        for board in &BOARDS {
            let settings = [("CANDOR_MODEL", file.to_str().expect("a plain path")), ("CANDOR_RAM", ram)];
            let build = Build::new(board, "segmenter", &settings);
            let (once, twice) = (build.run(0), build.run(1));
            assert_eq!(log::value(&once.lines, "tier"), board.tier, "{}", board.name);
            expected.check(&once.lines, &format!("{name} on {}", board.name));
            let figures = Figures {
                board: board.name,
                package: name,
                flash: build.flash_bytes() - bytes.len(),
                package_bytes: bytes.len(),
                static_ram: build.ram_bytes(),
                arena: expected.arena_bytes,
                stack: log::value(&once.lines, "stack").parse().expect("a number"),
                instructions: twice.instructions - once.instructions,
                macs: expected.macs,
            };
            assert!(figures.flash <= FLASH_MAX, "{name} on {}: {} of flash", board.name, figures.flash);
            let most = most[usize::from(board.tier == "helium")];
            assert!(figures.per_mac() <= most, "{name} on {}: {:.3} per MAC", board.name, figures.per_mac());
            rows.push(figures);
        }
        println!("{name}: arena {} bytes, layer by layer {}", expected.arena_bytes, expected.whole_bytes);
    }
    println!("{}", table(&rows));
}

#[test]
fn whole_packages_give_the_bytes_of_the_host_on_aarch64() {
    if !linux::tools() {
        return;
    }
    let phantom = std::fs::read(candor_tests::workspace_root().join("models/packages/phantom.candor"));
    let packages = [phantom.expect("the package is part of the tree"), networks::unet8(96)];
    for bytes in packages {
        let package = candor::Package::load(&bytes).expect("the package is sound");
        let expected = Expected::new(&package);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let said = linux::run(&model::write(folder.path(), &package, &bytes));
        for ((processor, tier), lines) in linux::PROCESSORS.iter().zip(said) {
            assert_eq!(log::value(&lines, "tier"), *tier, "{processor}");
            expected.check(&lines, processor);
        }
    }
}

/// The table that `cargo firmware` is for.
fn table(rows: &[Figures]) -> String {
    let mut text = String::from(
        "| board | package | its bytes | flash beyond it | static RAM | of that arena | worst stack \
         | instructions per frame | per MAC |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let per_mac = row.per_mac();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {per_mac:.3} |",
            row.board,
            row.package,
            row.package_bytes,
            row.flash,
            row.static_ram,
            row.arena,
            row.stack,
            row.instructions
        );
    }
    text
}
