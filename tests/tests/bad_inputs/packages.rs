//! Damaged packages: bytes cut and flipped, section tables that lie, and wrong words under right digests.

use candor::buffer::AlignedBuffer;
use candor_core::package::{DIGESTED_HEADER, ENTRY_BYTES, HEADER_BYTES, Package, Section};
use candor_core::plan::{HEADER_WORDS, TENSOR_WORDS};
use candor_lab::pack::writer::Sections;
use sha2::{Digest, Sha256};

use crate::pictures;
use crate::table::Table;

/// Every row about packages.
pub fn rows(table: &mut Table) {
    let package = table.package();
    bytes(table, &package);
    flipped(table, &package);
    section_table(table, &package);
    swapped_and_missing(table, &package);
    plan_header_and_tensors(table, &package);
    steps(table, &package);
    preprocess_and_head(table, &package);
    later_sections(table, &package);
    places(table);
}

/// Commands on packages that differ in what no digest covers.
pub fn sound(table: &Table) -> Vec<String> {
    let mut signed = table.package();
    signed[64] = 1;
    table.file("signed.candor", &signed);
    vec!["candor inspect $DIR/signed.candor".into(), "candor selftest $DIR/model.candor --threads 2".into()]
}

fn bytes(table: &mut Table, package: &[u8]) {
    table.damaged_package("inspect", "empty", &[]);
    let entries = (package.len() - 1, "last-byte");
    for (end, name) in
        [(8, "magic"), (100, "header"), (HEADER_BYTES + 30, "table"), (4000, "section"), entries]
    {
        table.damaged_package("inspect", &format!("cut-in-{name}"), &package[..end]);
    }
    table.damaged_package("run", "trailing-byte", &[package, &[0]].concat());
    table.damaged_package("bench", "trailing-page", &[package, &[0; 4096]].concat());
    table.damaged_package("selftest", "picture", &pictures::scene(32, 0).0);
    for (at, name) in
        [(0, "magic"), (16, "length"), (40, "package-digest"), (HEADER_BYTES + 40, "section-digest")]
    {
        let mut damaged = package.to_vec();
        damaged[at] ^= 4;
        table.damaged_package("inspect", &format!("flipped-{name}"), &damaged);
    }
    for version in [0, 1, 3, u32::MAX] {
        let mut other = package.to_vec();
        other[8..12].copy_from_slice(&version.to_le_bytes());
        table.damaged_package("inspect", &format!("version-{version}"), &other);
    }
}

/// Byte range of a section.
fn range(package: &[u8], section: Section) -> std::ops::Range<usize> {
    let buffer = AlignedBuffer::copy_of(package);
    let view = Package::parse(buffer.as_slice()).expect("the package is sound");
    let entry = view.entries().flatten().find(|entry| entry.section == section);
    let entry = entry.unwrap_or_else(|| panic!("the package has section {}", section.name()));
    entry.offset..entry.offset + entry.length
}

/// One bit of every section, in its middle.
fn flipped(table: &mut Table, package: &[u8]) {
    for section in [
        Section::Model,
        Section::Plan,
        Section::Weights,
        Section::Preprocess,
        Section::Head,
        Section::Classes,
        Section::Calibration,
        Section::Ood,
        Section::Golden,
        Section::Card,
    ] {
        let range = range(package, section);
        let mut damaged = package.to_vec();
        damaged[(range.start + range.end) / 2] ^= 16;
        table.damaged_package("run", &format!("flipped-in-{}", section.name()), &damaged);
    }
    let mut padding = package.to_vec();
    padding[range(package, Section::Model).end] = 1;
    table.damaged_package("run", "padding-not-zero", &padding);
}

/// The package with its section table changed and the package digest made right again.
fn signed_table(package: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = package.to_vec();
    let count = bytes[12] as usize;
    change(&mut bytes[HEADER_BYTES..HEADER_BYTES + count * ENTRY_BYTES]);
    sign(&mut bytes, count);
    bytes
}

/// States the package digest anew.
fn sign(bytes: &mut [u8], count: usize) {
    let digest = Sha256::new()
        .chain_update(&bytes[..DIGESTED_HEADER])
        .chain_update(&bytes[HEADER_BYTES..HEADER_BYTES + count * ENTRY_BYTES])
        .finalize();
    bytes[32..64].copy_from_slice(&digest);
}

fn section_table(table: &mut Table, package: &[u8]) {
    let word = |at: usize, value: u64| {
        move |entries: &mut [u8]| entries[at..at + 8].copy_from_slice(&value.to_le_bytes())
    };
    let second = ENTRY_BYTES;
    let mut case = |name: &str, bytes: Vec<u8>| table.damaged_package("inspect", name, &bytes);
    case("table-unknown-kind", signed_table(package, word(second, 99)));
    case("table-reserved-bits", signed_table(package, word(second + 24, 1)));
    case("table-offset-misaligned", signed_table(package, |entries| entries[second + 8] += 1));
    case("table-offset-outside", signed_table(package, word(second + 8, 1 << 40)));
    case("table-length-outside", signed_table(package, word(second + 16, 1 << 40)));
    case("table-length-overflow", signed_table(package, word(second + 16, u64::MAX)));
    case("table-length-zero", signed_table(package, word(second + 16, 0)));
    case(
        "table-entries-swapped",
        signed_table(package, |entries| {
            let (first, rest) = entries.split_at_mut(ENTRY_BYTES);
            first.swap_with_slice(&mut rest[..ENTRY_BYTES]);
        }),
    );
    case(
        "table-section-twice",
        signed_table(package, |entries| {
            let kind = entries[0];
            entries[second] = kind;
        }),
    );
    let counted = |count: u8| {
        let mut bytes = package.to_vec();
        bytes[12] = count;
        sign(&mut bytes, usize::from(count));
        bytes
    };
    case("table-no-sections", counted(0));
    case("table-one-section-less", counted(package[12] - 1));
    case("table-too-many-sections", counted(33));
}

/// The package with its sections changed and every digest right.
fn rewritten(package: &[u8], change: impl FnOnce(&mut Sections)) -> Vec<u8> {
    let buffer = AlignedBuffer::copy_of(package);
    let view = Package::parse(buffer.as_slice()).expect("the package is sound");
    let mut sections = Sections::of(&view).expect("the package is sound");
    change(&mut sections);
    sections.to_bytes()
}

/// The package with the bytes of one section changed.
fn edited(package: &[u8], section: Section, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = package[range(package, section)].to_vec();
    change(&mut bytes);
    rewritten(package, |sections| sections.set(section, bytes))
}

/// The package with one word of a section changed.
fn with_word(package: &[u8], section: Section, index: usize, value: u32) -> Vec<u8> {
    edited(package, section, |bytes| bytes[index * 4..index * 4 + 4].copy_from_slice(&value.to_le_bytes()))
}

fn word_of(package: &[u8], section: Section, index: usize) -> u32 {
    let bytes = &package[range(package, section)][index * 4..][..4];
    u32::from_le_bytes(bytes.try_into().expect("four bytes are a word"))
}

fn swapped_and_missing(table: &mut Table, package: &[u8]) {
    let bytes = |section| package[range(package, section)].to_vec();
    let (plan, weights, head) = (bytes(Section::Plan), bytes(Section::Weights), bytes(Section::Head));
    let swapped = rewritten(package, |sections| {
        sections.set(Section::Plan, weights);
        sections.set(Section::Weights, plan);
    });
    table.damaged_package("run", "swapped-plan-and-weights", &swapped);
    let swapped = rewritten(package, |sections| sections.set(Section::Preprocess, head));
    table.damaged_package("run", "head-as-preprocess", &swapped);
    for section in [Section::Plan, Section::Weights, Section::Preprocess, Section::Head, Section::Classes] {
        let without = rewritten(package, |sections| sections.remove(section));
        table.damaged_package("run", &format!("without-{}", section.name()), &without);
    }
    let without = rewritten(package, |sections| sections.remove(Section::Golden));
    table.damaged_package("selftest", "without-golden", &without);
}

fn plan_header_and_tensors(table: &mut Table, package: &[u8]) {
    let mut case = |name: &str, bytes: Vec<u8>| table.damaged_package("run", &format!("plan-{name}"), &bytes);
    case("empty", edited(package, Section::Plan, Vec::clear));
    case("odd-length", edited(package, Section::Plan, |bytes| bytes.push(0)));
    case("one-word-more", edited(package, Section::Plan, |bytes| bytes.extend([0; 4])));
    let header = [
        ("no-tensors", 0, 0),
        ("too-many-tensors", 0, 5000),
        ("one-step-less", 1, word_of(package, Section::Plan, 1) - 1),
        ("no-inputs", 2, 0),
        ("output-outside", 3, 9999),
        ("arena-too-small", 4, 64),
        ("arena-too-large", 4, u32::MAX),
        ("scratch-outside", 6, 1 << 30),
    ];
    for (name, word, value) in header {
        case(name, with_word(package, Section::Plan, word, value));
    }
    let tensor = [
        ("tensor-misaligned", 0, 1),
        ("tensor-outside-arena", 0, 1 << 20),
        ("tensor-without-rows", 1, 0),
        ("tensor-too-wide", 2, 1 << 16),
        ("tensor-without-channels", 3, 0),
        ("tensor-short-rows", 8, 4),
        ("tensor-of-no-element", 9, 7),
        ("tensor-zero-point", 10, 256),
        ("tensor-scale-zero", 11, 0),
        ("tensor-scale-nan", 11, f32::NAN.to_bits()),
    ];
    for (name, word, value) in tensor {
        case(name, with_word(package, Section::Plan, HEADER_WORDS + word, value));
    }
}

/// Word of the first step, a 3×3 convolution of one channel into five.
fn first_step(package: &[u8], word: usize) -> usize {
    HEADER_WORDS + word_of(package, Section::Plan, 0) as usize * TENSOR_WORDS + word
}

fn steps(table: &mut Table, package: &[u8]) {
    let mut case = |name: &str, bytes: Vec<u8>| table.damaged_package("run", &format!("step-{name}"), &bytes);
    let word = |word| first_step(package, word);
    let value = |index| word_of(package, Section::Plan, word(index));
    let (input, output) = (value(1), value(3));
    let record = [
        ("unknown-operator", 0, 99),
        ("input-outside", 1, 9999),
        ("other-tensor-without-halo", 1, output),
        ("writes-the-input", 3, input),
        ("no-kernel", 4, 0),
        ("huge-kernel", 4, 65),
        ("kernel-beyond-halo", 5, 9),
        ("stride-beyond-halo", 6, 2),
        ("dilation-beyond-halo", 8, 3),
        ("pads-beyond-halo", 10, 3),
        ("weights-outside", 12, 1 << 24),
        ("biases-misaligned", 13, value(13) + 1),
        ("sums-of-other-weights", 14, value(13)),
        ("multipliers-outside", 15, u32::MAX),
        ("clamp-beyond-codes", 17, 256),
        ("clamp-crossed", 16, 255),
    ];
    for (name, at, value) in record {
        if name == "clamp-crossed" {
            let crossed = with_word(package, Section::Plan, word(at), value);
            case(name, with_word(&crossed, Section::Plan, word(17), 0));
        } else {
            case(name, with_word(package, Section::Plan, word(at), value));
        }
    }
    let offset = |tensor: u32| HEADER_WORDS + tensor as usize * TENSOR_WORDS;
    let shared = word_of(package, Section::Plan, offset(input));
    case("overlap", with_word(package, Section::Plan, offset(output), shared));
    let constant = |parameter: usize, offset: usize, bytes: &[u8]| {
        let start = value(4 + parameter) as usize + offset;
        edited(package, Section::Weights, |weights| {
            weights[start..start + bytes.len()].copy_from_slice(bytes)
        })
    };
    case("multiplier-nan", constant(11, 0, &f32::NAN.to_le_bytes()));
    case("multiplier-infinite", constant(11, 4, &f32::INFINITY.to_le_bytes()));
    case("bias-too-large", constant(9, 0, &i32::MIN.to_le_bytes()));
    case("weight-of-no-input-channel", constant(8, 1, &[1]));
    case("weight-of-no-output-channel", constant(8, 20, &[1]));
    case("sum-of-weights-wrong", constant(10, 0, &12_345_i32.to_le_bytes()));
}

fn preprocess_and_head(table: &mut Table, package: &[u8]) {
    let mut case = |name: &str, bytes: Vec<u8>| table.damaged_package("run", name, &bytes);
    let nan = f32::NAN.to_bits();
    for (name, word, value) in [("mode", 0, 9), ("order", 1, 9), ("geometry", 2, 9), ("epsilon-nan", 4, nan)]
    {
        case(&format!("preprocess-{name}"), with_word(package, Section::Preprocess, word, value));
    }
    let tiled = with_word(package, Section::Preprocess, 2, 1);
    for overlap in [3, 26, 4096] {
        let bytes = with_word(&tiled, Section::Preprocess, 3, overlap);
        case(&format!("preprocess-overlap-{overlap}"), bytes);
    }
    let window = with_word(package, Section::Preprocess, 0, 2);
    case("preprocess-empty-window", window);
    let colour = with_word(package, Section::Preprocess, 1, 1);
    case("preprocess-colour-for-gray", colour);
    case("preprocess-short", edited(package, Section::Preprocess, |bytes| bytes.truncate(20)));
    let infinite = f32::INFINITY.to_bits();
    for (name, word, value) in [
        ("activation", 0, 5),
        ("no-channels", 1, 0),
        ("form", 2, 2),
        ("index-step-zero", 4, 0),
        ("scale-negative", 6, (-1f32).to_bits()),
        ("multiplier-infinite", 7, infinite),
    ] {
        case(&format!("head-{name}"), with_word(package, Section::Head, word, value));
    }
    case("head-short", edited(package, Section::Head, |bytes| bytes.truncate(600)));
    case("classes-not-text", edited(package, Section::Classes, |bytes| bytes[0] = 0xff));
    case("classes-one-less", edited(package, Section::Classes, |bytes| bytes.truncate(10)));
}

fn later_sections(table: &mut Table, package: &[u8]) {
    let mut case = |verb: &str, name: &str, bytes: Vec<u8>| table.damaged_package(verb, name, &bytes);
    case("run", "calibration-kind", with_word(package, Section::Calibration, 0, 9));
    case("inspect", "calibration-tables", with_word(package, Section::Calibration, 1, 7));
    case("run", "calibration-short", edited(package, Section::Calibration, |bytes| bytes.truncate(1000)));
    case("run", "ood-format", with_word(package, Section::Ood, 0, 2));
    case("run", "ood-tap-outside", with_word(package, Section::Ood, 16, 9999));
    case("run", "ood-channels", with_word(package, Section::Ood, 1, 3));
    case("run", "ood-short", edited(package, Section::Ood, |bytes| bytes.truncate(bytes.len() - 8)));
    let nan = f64::NAN.to_le_bytes();
    case("run", "ood-nan", edited(package, Section::Ood, |bytes| bytes[128..136].copy_from_slice(&nan)));
    case("selftest", "golden-short", edited(package, Section::Golden, |bytes| bytes.truncate(40)));
    case("selftest", "golden-steps", with_word(package, Section::Golden, 2, 9));
    case("inspect", "model-not-text", edited(package, Section::Model, |bytes| bytes[0] = 0xff));
    for (name, at) in [("output", 16), ("step", 48)] {
        let other = edited(package, Section::Golden, |bytes| bytes[at] ^= 1);
        table.file(&format!("golden-other-{name}.candor"), &other);
        table.refused(6, &format!("candor selftest $DIR/golden-other-{name}.candor --tier reference"));
    }
}

/// Paths that are no package file.
fn places(table: &mut Table) {
    table.refused(3, "candor inspect $DIR/no-such.candor");
    table.refused(3, "candor run $DIR/frames $DIR/frames/03.png");
    table.refused(3, "candor-lab evaluate $DIR/model.onnx --images $DIR/frames --masks $DIR/masks");
    let made = std::process::Command::new("mkfifo").arg(table.path("pipe.candor")).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo makes a pipe");
    table.refused(3, "candor inspect $DIR/pipe.candor");
}
