//! Whatever bytes a package file holds, reading it gives a view or a typed error, and a plan that is accepted
//! runs.
#![no_main]

use candor_core::interpreter;
use candor_core::kernels::Reference;
use candor_core::package::{
    ALIGNMENT, DIGESTED_HEADER, ENTRY_BYTES, HEADER_BYTES, MAGIC, Package, SECTION_LIMIT, VERSION,
};
use candor_core::plan::Plan;
use sha2::{Digest, Sha256};

/// Arena bytes times package bytes bounds the work of a step; past this a run would only be slow.
const WORK_MAX: usize = 1 << 28;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    read(&Aligned::new(bytes));
    let mut sealed = Aligned::new(bytes);
    seal(sealed.bytes_mut());
    read(&sealed);
});

/// Reads every section; errors are a valid answer, a panic is the finding.
fn read(file: &Aligned) {
    let Ok(package) = Package::parse(file.bytes()) else {
        return;
    };
    let _ = (package.digest(), package.signature(), package.head(), package.preprocess());
    let _ = package.classes().map(Iterator::count);
    if let Ok(plan) = package.plan()
        && plan.arena_bytes().saturating_mul(file.bytes().len()) <= WORK_MAX
    {
        run(&plan);
    }
}

/// Runs an accepted plan on inputs of ones: after the check of the plan no access may fail.
fn run(plan: &Plan<'_>) {
    let mut arena = Aligned::new(&vec![0; plan.arena_bytes()]);
    for input in 0..plan.inputs() {
        let Ok(tensor) = plan.tensor(input) else {
            return;
        };
        let layout = tensor.layout;
        let codes = vec![1; layout.height * layout.width * layout.channels];
        if interpreter::load_input(plan, arena.bytes_mut(), input, &codes).is_err() {
            return;
        }
    }
    let _ = interpreter::run(plan, &Reference, arena.bytes_mut(), &mut ());
}

/// Repairs magic, version, length and digests, so that a mutation inside a section reaches that section's
/// reader.
fn seal(bytes: &mut [u8]) {
    if bytes.len() < HEADER_BYTES {
        return;
    }
    let length = bytes.len() as u64;
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    let count = usize::from(bytes[12]) % (SECTION_LIMIT + 1);
    let table_end = HEADER_BYTES + count * ENTRY_BYTES;
    if table_end > bytes.len() {
        return;
    }
    bytes[12..16].copy_from_slice(&(count as u32).to_le_bytes());
    for entry in (HEADER_BYTES..table_end).step_by(ENTRY_BYTES) {
        let word = |at: usize| {
            bytes[entry + at..entry + at + 8].iter().rev().fold(0, |sum, &b| sum << 8 | usize::from(b))
        };
        let (offset, length) = (word(8), word(16));
        if let Some(section) = offset.checked_add(length).and_then(|end| bytes.get(offset..end)) {
            let digest = Sha256::digest(section);
            bytes[entry + 32..entry + 64].copy_from_slice(&digest);
        }
    }
    let digest =
        Sha256::new().chain_update(&bytes[..DIGESTED_HEADER]).chain_update(&bytes[HEADER_BYTES..table_end]);
    bytes[32..64].copy_from_slice(&digest.finalize());
}

/// A copy of some bytes that begins at a multiple of the alignment that packages and arenas need.
struct Aligned {
    storage: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    fn new(bytes: &[u8]) -> Self {
        let mut storage = vec![0; bytes.len() + ALIGNMENT];
        let start = storage.as_ptr().align_offset(ALIGNMENT);
        storage[start..start + bytes.len()].copy_from_slice(bytes);
        Self { storage, start, length: bytes.len() }
    }

    fn bytes(&self) -> &[u8] {
        &self.storage[self.start..][..self.length]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..][..self.length]
    }
}
