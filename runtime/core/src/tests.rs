//! What core's tests share: seeded randomness, aligned bytes, and writers of small plans and packages.

use crate::arithmetic::{Multiplier, Scale};
use crate::ops::record::RECORD_WORDS;
use crate::package::{ALIGNMENT, DIGESTED_HEADER, ENTRY_BYTES, HEADER_BYTES, MAGIC, Section, VERSION};
use crate::plan::{HEADER_WORDS, SLACK, TENSOR_WORDS};
use crate::tensor::{Element, Halo, Layout};
use bytemuck::{NoUninit, Pod, Zeroable};
use sha2::{Digest, Sha256};

/// SplitMix64 (Steele, Lea & Flood 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `low..=high`.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + (self.bits() % (high - low + 1) as u64) as usize
    }

    pub(crate) fn codes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.bits() as u8).collect()
    }

    pub(crate) fn weights(&mut self, count: usize) -> Vec<i8> {
        (0..count).map(|_| (self.bits() % 255) as i64 as i8).map(|w| if w == -128 { 0 } else { w }).collect()
    }

    /// Uniform in −1..1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Bytes whose start is a multiple of 64.
pub(crate) struct Aligned(Vec<Line>, usize);

impl Aligned {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut lines = vec![Line([0; 64]); bytes.len().div_ceil(64).max(1)];
        bytemuck::cast_slice_mut::<Line, u8>(&mut lines)[..bytes.len()].copy_from_slice(bytes);
        Self(lines, bytes.len())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.0)[..self.1]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.0)[..self.1]
    }
}

/// A plan written by hand: tensors lie one after another in the arena, then the scratch.
#[derive(Clone, Default)]
pub(crate) struct PlanWriter {
    tensors: Vec<[u32; TENSOR_WORDS]>,
    steps: Vec<[u32; RECORD_WORDS]>,
    constants: Vec<u8>,
    arena: usize,
    inputs: usize,
}

impl PlanWriter {
    /// A plan whose first `inputs` tensors are inputs; by default one.
    pub(crate) fn with_inputs(inputs: usize) -> Self {
        Self { inputs, ..Self::default() }
    }

    pub(crate) fn tensor(&mut self, extent: [usize; 3], halo: Halo, zero_point: u8) -> u32 {
        self.push(extent, halo, zero_point, Element::Code)
    }

    pub(crate) fn accumulators(&mut self, extent: [usize; 3]) -> u32 {
        self.push(extent, Halo::default(), 0, Element::Accumulator)
    }

    fn push(&mut self, [height, width, channels]: [usize; 3], halo: Halo, zero: u8, element: Element) -> u32 {
        let layout = Layout::packed(height, width, channels, halo, element);
        let extents = [self.arena, height, width, channels, halo.top, halo.left, halo.bottom, halo.right];
        let mut words = [0; TENSOR_WORDS];
        for (word, value) in words.iter_mut().zip(extents) {
            *word = value as u32;
        }
        words[8] = layout.row_stride as u32;
        words[9] = u32::from(element == Element::Accumulator);
        words[10] = u32::from(zero);
        words[11] = Scale::new(0.5).to_bits();
        self.arena += layout.bytes().next_multiple_of(64);
        self.tensors.push(words);
        self.tensors.len() as u32 - 1
    }

    /// Stores constants and returns their offset.
    pub(crate) fn constant<T: NoUninit>(&mut self, values: &[T]) -> u32 {
        self.constants.resize(self.constants.len().next_multiple_of(64), 0);
        let offset = self.constants.len() as u32;
        self.constants.extend_from_slice(bytemuck::cast_slice(values));
        offset
    }

    pub(crate) fn step(&mut self, opcode: u32, inputs: [u32; 2], output: u32, parameters: &[u32]) {
        let mut words = [0; RECORD_WORDS];
        words[..4].copy_from_slice(&[opcode, inputs[0], inputs[1], output]);
        words[4..4 + parameters.len()].copy_from_slice(parameters);
        self.steps.push(words);
    }

    /// Plan words and the weights section; the last tensor is the output.
    pub(crate) fn words(&self) -> Vec<u32> {
        let scratch = self.tensors.iter().map(|t| t[3] as usize * 24).max().unwrap_or(0);
        let bytes = (self.arena + scratch).next_multiple_of(64) + SLACK;
        let mut words = vec![0; HEADER_WORDS];
        words[0] = self.tensors.len() as u32;
        words[1] = self.steps.len() as u32;
        words[2] = self.inputs.max(1) as u32;
        words[3] = self.tensors.len() as u32 - 1;
        words[4] = bytes as u32;
        words[5] = self.arena as u32;
        words[6] = scratch as u32;
        words.extend(self.tensors.iter().flatten());
        words.extend(self.steps.iter().flatten());
        words
    }

    pub(crate) fn plan(&self) -> Aligned {
        Aligned::of(bytemuck::cast_slice(&self.words()))
    }

    pub(crate) fn weights(&self) -> Aligned {
        Aligned::of(&self.constants)
    }
}

/// A package file made of `sections` in the order given.
pub(crate) fn package(sections: &[(Section, Vec<u8>)]) -> Vec<u8> {
    let numbered: Vec<(u32, Vec<u8>)> = sections.iter().map(|(s, b)| (*s as u32, b.clone())).collect();
    package_of(&numbered)
}

/// As [`package`], with section numbers as they are.
pub(crate) fn package_of(sections: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut table = Vec::new();
    let mut body = vec![0; HEADER_BYTES + sections.len() * ENTRY_BYTES];
    for (number, bytes) in sections {
        body.resize(body.len().next_multiple_of(ALIGNMENT), 0);
        table.extend(number.to_le_bytes());
        table.extend([0; 4]);
        table.extend((body.len() as u64).to_le_bytes());
        table.extend((bytes.len() as u64).to_le_bytes());
        table.extend([0; 8]);
        table.extend(Sha256::digest(bytes));
        body.extend(bytes);
    }
    let mut head = MAGIC.to_vec();
    head.extend(VERSION.to_le_bytes());
    head.extend((sections.len() as u32).to_le_bytes());
    head.extend((body.len() as u64).to_le_bytes());
    head.resize(DIGESTED_HEADER, 0);
    let digest = Sha256::new().chain_update(&head).chain_update(&table).finalize();
    head.extend(digest);
    body[..head.len()].copy_from_slice(&head);
    body[HEADER_BYTES..HEADER_BYTES + table.len()].copy_from_slice(&table);
    body
}

/// The bits of an f32 multiplier.
pub(crate) fn bits(value: f32) -> u32 {
    Multiplier::new(value).to_bits()
}
