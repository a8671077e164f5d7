//! Packages: what is written reads back, and any damage whatever is refused.

use super::*;
use crate::golden::Golden;
use crate::ops::Lookup;
use crate::tensor::Halo;
use crate::tests::{Aligned, PlanWriter, Random, package, package_of};

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn single(value: f32) -> u32 {
    value.to_bits()
}

/// A sigmoid head over codes.
fn head() -> Vec<u8> {
    let mut bytes = words(&[0, 1, 1, 0, single(1.0 / 128.0), 0, single(0.25)]);
    (0..256u16).for_each(|code| bytes.extend((code * 16).to_le_bytes()));
    (0..4096u16).for_each(|index| bytes.extend((index * 16).to_le_bytes()));
    bytes
}

/// A softmax head of three classes over accumulators.
fn softmax_head() -> Vec<u8> {
    let mut bytes = words(&[1, 3, 0, 1, single(1.0 / 128.0), 0]);
    bytes.extend(words(&[single(0.25); 3]));
    bytes.extend(words(&[single(-2.0); 3]));
    bytes.resize(bytes.len() + 8192, 7);
    bytes
}

fn preprocess() -> Preprocess {
    let slope = [0.5, 2.0, -1.0].map(crate::arithmetic::Multiplier::new);
    let offset = [0.0, 1.0, 3.5].map(crate::arithmetic::Multiplier::new);
    let normalize = Normalize::Affine { slope, offset };
    Preprocess { geometry: Geometry::Tile { overlap: 6 }, order: ChannelOrder::Bgr, normalize }
}

/// A small whole package; the head comes last so that its bulk can be left out.
fn sample(with_head: bool) -> Vec<u8> {
    let mut plan = PlanWriter::default();
    let input = plan.tensor([2, 3, 1], Halo::default(), 0);
    let output = plan.tensor([2, 3, 1], Halo::default(), 0);
    let table: Vec<u8> = (0..=255).collect();
    let table = plan.constant(&table);
    plan.step(Lookup::OPCODE, [input; 2], output, &[table, 0]);
    let mut sections = vec![
        (Section::Model, b"a model\nmade by hand\n".to_vec()),
        (Section::Plan, plan.plan().bytes().to_vec()),
        (Section::Weights, plan.weights().bytes().to_vec()),
        (Section::Preprocess, words(&preprocess().to_words())),
        (Section::Classes, "nothing\ncellule étrange".into()),
    ];
    if with_head {
        sections.push((Section::Head, head()));
    }
    package(&sections)
}

fn parse(bytes: &[u8]) -> Result<(), PackageError> {
    Package::parse(Aligned::of(bytes).bytes()).map(|_| ())
}

#[test]
fn a_package_reads_back_as_it_was_written() {
    let bytes = Aligned::of(&sample(true));
    let package = Package::parse(bytes.bytes()).unwrap();
    assert_eq!(package.text(Section::Model), Ok("a model\nmade by hand\n"));
    assert_eq!(package.preprocess(), Ok(preprocess()));
    assert_eq!(package.classes().unwrap().collect::<Vec<_>>(), ["nothing", "cellule étrange"]);
    assert_eq!(package.plan().unwrap().steps(), 1);
    assert_eq!(package.entries().count(), 6);
    assert_eq!(package.section(Section::Card), None);
    assert_eq!(package.text(Section::Card), Ok(""));
    assert_eq!(package.require(Section::Ood).err(), Some(PackageError::Missing(Section::Ood)));
    let head = package.head().unwrap();
    assert_eq!((head.activation, head.channels, head.classes()), (Activation::Sigmoid, 1, 2));
    assert_eq!((head.index(3, 0), head.table[100]), (48, 1600));
    assert_eq!(package.signature(), [0; 128]);
    assert_eq!(package.digest(), Package::reopen(bytes.bytes()).unwrap().digest());
}

#[test]
fn every_single_bit_flip_is_refused_but_in_the_signature() {
    let mut bytes = Aligned::of(&sample(false));
    assert!(Package::parse(bytes.bytes()).is_ok());
    for at in 0..bytes.bytes().len() {
        for bit in 0..8 {
            bytes.bytes_mut()[at] ^= 1 << bit;
            let accepted = Package::parse(bytes.bytes()).is_ok();
            assert_eq!(accepted, (64..HEADER_BYTES).contains(&at), "byte {at} bit {bit}");
            bytes.bytes_mut()[at] ^= 1 << bit;
        }
    }
}

#[test]
fn every_truncation_and_any_extension_is_refused() {
    let bytes = Aligned::of(&sample(false));
    for length in 0..bytes.bytes().len() {
        assert!(Package::parse(&bytes.bytes()[..length]).is_err(), "{length}");
    }
    let longer = [bytes.bytes(), &[0]].concat();
    let (stated, actual) = (bytes.bytes().len() as u64, longer.len() as u64);
    assert_eq!(parse(&longer), Err(PackageError::Length { stated, actual }));
}

#[test]
fn each_kind_of_damage_has_its_own_error() {
    let good = sample(false);
    assert_eq!(parse(b"GIF89a"), Err(PackageError::NotAPackage));
    let mut version = good.clone();
    version[8] += 1;
    assert_eq!(parse(&version), Err(PackageError::Version(VERSION + 1)));
    let mut content = good.clone();
    let last = good.len() - 1;
    content[last] ^= 1;
    assert_eq!(parse(&content), Err(PackageError::Digest(Section::Classes)));
    let shifted = Aligned::of(&[&[0; 4], &good[..]].concat());
    assert_eq!(Package::parse(&shifted.bytes()[4..]).err(), Some(PackageError::Misaligned));
    let twice = package(&[(Section::Card, vec![1]), (Section::Card, vec![2])]);
    assert_eq!(parse(&twice), Err(PackageError::Repeated(Section::Card)));
    assert_eq!(parse(&package_of(&[(1, vec![1]), (13, vec![2])])), Err(PackageError::Table(1)));
    assert_eq!(parse(&package_of(&[(0, vec![1])])), Err(PackageError::Table(0)));
    let many: Vec<(u32, Vec<u8>)> = (0..33).map(|i| (i, vec![])).collect();
    assert_eq!(parse(&package_of(&many)), Err(PackageError::Table(33)));
    let text = Aligned::of(&package(&[(Section::Classes, vec![0xff])]));
    let text = Package::parse(text.bytes()).unwrap();
    assert_eq!(text.classes().err(), Some(PackageError::Text(Section::Classes)));
    assert_eq!(text.plan().err(), Some(PackageError::Missing(Section::Weights)));
}

/// Seals a changed header and table again, as a forger without a key could.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let count = section::word(&bytes, 3) as usize;
    let end = (HEADER_BYTES + count * ENTRY_BYTES).min(bytes.len());
    let digest = section::digest_of(&bytes[..DIGESTED_HEADER], &bytes[HEADER_BYTES..end]);
    bytes[32..64].copy_from_slice(&digest);
    bytes
}

#[test]
fn sealed_tables_that_lie_about_offsets_are_refused() {
    let good = sample(false);
    let entry = HEADER_BYTES + ENTRY_BYTES;
    for (at, value) in [
        (entry + 8, 0u64),
        (entry + 8, 64),
        (entry + 8, u64::MAX),
        (entry + 8, u64::MAX - 63),
        (entry + 8, section::long(&good, entry + 8) + 64),
        (entry + 8, section::long(&good, entry + 8) + 4),
        (entry + 16, u64::MAX),
        (entry + 16, section::long(&good, entry + 16) + 64),
        (entry + 24, 1),
        (entry + 4, 1),
    ] {
        let mut bytes = good.clone();
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        assert!(parse(&resealed(bytes)).is_err(), "entry byte {} = {value}", at - entry);
    }
    assert_eq!(parse(&resealed(good)), Ok(()));
}

#[test]
fn random_bytes_and_sealed_random_damage_never_panic() {
    let mut random = Random(51);
    for _ in 0..2000 {
        let count = random.between(0, 600);
        let mut bytes = random.codes(count);
        if bytes.len() > 24 {
            bytes[..8].copy_from_slice(&MAGIC);
            bytes[8..12].copy_from_slice(&1u32.to_le_bytes());
            bytes[12..16].copy_from_slice(&(random.between(0, 40) as u32).to_le_bytes());
            bytes[16..24].copy_from_slice(&(count as u64).to_le_bytes());
        }
        if bytes.len() > HEADER_BYTES {
            bytes = resealed(bytes);
        }
        assert!(parse(&bytes).is_err());
    }
    let good = sample(true);
    for _ in 0..5000 {
        let mut sections = Vec::new();
        let aligned = Aligned::of(&good);
        let package = Package::parse(aligned.bytes()).unwrap();
        for entry in package.entries().flatten() {
            let mut body = package.section(entry.section).unwrap().to_vec();
            for _ in 0..random.between(0, 2) {
                let at = random.between(0, body.len().min(160) - 1);
                body[at] = random.bits() as u8;
            }
            sections.push((entry.section, body));
        }
        let forged = Aligned::of(&crate::tests::package(&sections));
        let forged = Package::parse(forged.bytes()).unwrap();
        // Whatever each says, it says it without a panic.
        let _ = (forged.plan().is_ok(), forged.head().is_ok(), forged.preprocess().is_ok());
        let _ = (forged.classes().is_ok(), forged.text(Section::Model).is_ok());
    }
}

#[test]
fn every_head_word_out_of_range_is_refused() {
    let sound = |bytes: &[u8]| Head::parse(Aligned::of(bytes).bytes()).map(|_| ());
    assert_eq!((sound(&head()), sound(&softmax_head())), (Ok(()), Ok(())));
    let refused = |source: &[u8], word: usize, value: u32| {
        let mut bytes = source.to_vec();
        bytes[word * 4..word * 4 + 4].copy_from_slice(&value.to_le_bytes());
        assert!(sound(&bytes).is_err(), "word {word} = {value:#x}");
    };
    let scale_faults = [0, single(-1.0), single(f32::NAN), single(f32::INFINITY)];
    for source in [head(), softmax_head()] {
        refused(&source, 0, 2);
        for value in [0, 257, u32::MAX] {
            refused(&source, 1, value);
        }
        refused(&source, 2, 2);
        refused(&source, 3, 2);
        for value in scale_faults {
            refused(&source, 4, value);
            refused(&source, 6, value);
        }
        for length in [0, 4, 24, source.len() - 2, source.len() - 1] {
            assert!(sound(&source[..length]).is_err());
        }
        assert!(sound(&[&source[..], &[0, 0]].concat()).is_err());
    }
    refused(&head(), 1, 2);
    refused(&softmax_head(), 1, 1);
    refused(&softmax_head(), 10, single(f32::NAN));
    // An index of 4096 in the table of codes.
    refused(&head(), 7, 4096);
}

#[test]
fn indices_of_accumulators_round_and_saturate() {
    let bytes = Aligned::of(&softmax_head());
    let head = Head::parse(bytes.bytes()).unwrap();
    let indices = [0, 1, -1, 1024, 1025, -1023, -1024, i32::MAX, i32::MIN].map(|v| head.index(v, 2));
    assert_eq!(indices, [32_768, 32_766, 32_770, 30_720, 30_718, 34_814, 34_816, 0, 65_535]);
    let mut bytes = softmax_head();
    bytes.drain(28..36);
    bytes.drain(32..40);
    bytes[..8].copy_from_slice(&words(&[0, 1]));
    let bytes = Aligned::of(&bytes);
    let head = Head::parse(bytes.bytes()).unwrap();
    let indices = [0, 1, -1, 1024, 1025, -1023, -1024, i32::MAX, i32::MIN].map(|v| head.index(v, 0));
    assert_eq!(indices, [2048, 2046, 2050, 0, 0, 4094, 4095, 0, 4095]);
}

#[test]
fn every_form_of_preprocessing_reads_back_and_nothing_else_is_accepted() {
    let one = crate::arithmetic::Multiplier::new(1e-6);
    for order in [ChannelOrder::Gray, ChannelOrder::Rgb, ChannelOrder::Bgr] {
        for geometry in [Geometry::Resize, Geometry::Tile { overlap: 0 }, Geometry::Tile { overlap: 4094 }] {
            for normalize in [
                Normalize::Standardize { epsilon: one },
                preprocess().normalize,
                Normalize::Window { low: 0, high: 65_535 },
            ] {
                let settings = Preprocess { geometry, order, normalize };
                assert_eq!(Preprocess::parse(&words(&settings.to_words())), Ok(settings));
            }
        }
    }
    let mut window = preprocess();
    window.normalize = Normalize::Window { low: 10, high: 20 };
    let refused = |settings: Preprocess, word: usize, value: u32| {
        let mut all = settings.to_words();
        all[word] = value;
        assert!(Preprocess::parse(&words(&all)).is_err(), "word {word} = {value}");
    };
    for (word, value) in [(0, 3), (1, 3), (2, 2), (3, 5), (3, 4096), (4, single(f32::NAN))] {
        refused(preprocess(), word, value);
    }
    for (word, value) in [(4, 20), (5, 10), (5, 65_536)] {
        refused(window, word, value);
    }
    assert!(Preprocess::parse(&[0; 44]).is_err() && Preprocess::parse(&[0; 52]).is_err());
}

#[test]
fn golden_sections_are_as_long_as_they_say() {
    let mut bytes = words(&[1, 9, 2, 0]);
    bytes.extend([5; 32]);
    bytes.extend([3, 0, 0, 0, 0, 0, 0, 1].repeat(2));
    let golden = Golden::parse(&bytes).unwrap();
    assert_eq!((golden.seed, golden.output), (9, &[5; 32][..]));
    assert_eq!((golden.step(1), golden.step(2)), (Some(3 | 1 << 56), None));
    for length in 0..bytes.len() {
        assert!(Golden::parse(&bytes[..length]).is_err(), "{length}");
    }
    bytes[0] = 2;
    assert!(Golden::parse(&bytes).is_err());
}
