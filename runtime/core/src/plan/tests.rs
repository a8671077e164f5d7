//! What a plan may state: every word out of range is refused by its place, and no words at all make it
//! panic.

use super::*;
use crate::interpreter;
use crate::kernels::Reference;
use crate::ops::{GlobalAverage, Lookup, MaxPool};
use crate::tests::{Aligned, PlanWriter, Random, bits};

/// Max pool, table, global average over `[4,6,5]`.
fn sample() -> PlanWriter {
    let mut plan = PlanWriter::default();
    let halo = Halo { top: 1, left: 1, bottom: 1, right: 1 };
    let input = plan.tensor([4, 6, 5], halo, 3);
    let pooled = plan.tensor([2, 3, 5], halo, 3);
    let mapped = plan.tensor([2, 3, 5], Halo::default(), 9);
    let mean = plan.tensor([1, 1, 5], Halo::default(), 9);
    let table: Vec<u8> = (0..=255).collect();
    let table = plan.constant(&table);
    plan.step(MaxPool::OPCODE, [input; 2], pooled, &[2, 2, 2, 2, 1, 1, 0, 0]);
    plan.step(Lookup::OPCODE, [pooled; 2], mapped, &[table, 0]);
    plan.step(GlobalAverage::OPCODE, [mapped; 2], mean, &[bits(0.1), 0, 255]);
    plan
}

fn parse(words: &[u32], constants: &[u8]) -> Result<(), PlanError> {
    Plan::parse(Aligned::of(bytemuck::cast_slice(words)).bytes(), constants).map(|_| ())
}

/// The error after word `at` became `value`.
fn with(at: usize, value: u32) -> Result<(), PlanError> {
    let writer = sample();
    let mut words = writer.words();
    words[at] = value;
    parse(&words, writer.weights().bytes())
}

#[test]
fn a_plan_reads_back_as_it_was_written() {
    let writer = sample();
    let (bytes, weights) = (writer.plan(), writer.weights());
    let plan = Plan::parse(bytes.bytes(), weights.bytes()).unwrap();
    assert_eq!((plan.tensors(), plan.steps(), plan.inputs(), plan.output()), (4, 3, 1, 3));
    let input = plan.tensor(0).unwrap();
    assert_eq!((input.layout.height, input.layout.width, input.layout.channels), (4, 6, 5));
    assert_eq!((input.layout.halo.right, input.zero_point, input.scale.get()), (1, 3, 0.5));
    let names = [0, 1, 2].map(|step| plan.step(step).unwrap().op.name());
    assert_eq!(names, ["max_pool", "lookup", "global_average"]);
    assert_eq!(plan.step(1).unwrap().inputs, [1, 1]);
    assert!(plan.scratch().end <= plan.arena_bytes());
}

#[test]
fn every_header_word_out_of_range_is_refused() {
    let words = sample().words();
    let arena = words[4];
    for (word, values) in [
        (0, vec![0, COUNT_LIMIT as u32 + 1, u32::MAX]),
        (1, vec![0, COUNT_LIMIT as u32 + 1, u32::MAX]),
        (2, vec![0, 5, u32::MAX]),
        (3, vec![4, u32::MAX]),
        (4, vec![0, SLACK as u32 - 1, ARENA_LIMIT as u32 + 1, u32::MAX]),
        (5, vec![arena + 1, u32::MAX]),
        (6, vec![arena + 1, u32::MAX]),
    ] {
        for value in values {
            assert_eq!(with(word, value), Err(PlanError::Header(word as u32)), "word {word} = {value}");
        }
    }
    // Counts that fit their range but not the section's length.
    assert_eq!(with(0, 5), Err(PlanError::Length));
    assert_eq!(with(1, 4), Err(PlanError::Length));
    // Scratch that is misaligned, beyond the arena, too small, or upon a tensor.
    assert_eq!(with(5, words[5] + 4), Err(PlanError::Header(5)));
    assert_eq!(with(5, arena), Err(PlanError::Header(5)));
    assert_eq!(with(6, 5 * 24 - 1), Err(PlanError::Header(6)));
    let upon_input = words[HEADER_WORDS + 2 * TENSOR_WORDS];
    assert_eq!(with(5, upon_input), Err(PlanError::Step { step: 2, fault: Fault::Overlap }));
    // An arena too small for the last tensor.
    assert!(matches!(with(4, 512), Err(PlanError::Header(5 | 6) | PlanError::Tensor { .. })));
}

#[test]
fn every_tensor_word_out_of_range_is_refused() {
    let limit = EXTENT_LIMIT as u32 + 1;
    for tensor in 0..4u32 {
        let start = HEADER_WORDS + tensor as usize * TENSOR_WORDS;
        let refused = |word: usize, value: u32, named: u32| {
            let expected = PlanError::Tensor { tensor, word: named };
            assert_eq!(with(start + word, value), Err(expected), "word {word} = {value}");
        };
        for (word, value) in [(1, 0), (2, 0), (3, 0), (1, limit), (2, limit), (3, limit)] {
            refused(word, value, word as u32);
        }
        for word in 4..8 {
            refused(word, limit, word as u32);
            refused(word, u32::MAX, word as u32);
        }
        refused(8, 0, 8);
        refused(9, 2, 9);
        refused(10, 256, 10);
        for scale in [0, bits(-1.0), bits(f32::NAN), bits(f32::INFINITY)] {
            refused(11, scale, 11);
        }
        // Offsets and strides that are misaligned or leave the arena.
        refused(0, 32, 0);
        refused(0, u32::MAX, 0);
        refused(0, sample().words()[4] & !63, 0);
        refused(8, sample().words()[start + 8] + 2, 0);
    }
}

#[test]
fn every_step_word_out_of_range_is_refused() {
    let start = HEADER_WORDS + 4 * TENSOR_WORDS;
    let refused = |step: usize, word: usize, value: u32, fault: Fault| {
        let expected = PlanError::Step { step: step as u32, fault };
        assert_eq!(with(start + step * RECORD_WORDS + word, value), Err(expected), "{step}/{word} = {value}");
    };
    for opcode in [0, 14, u32::MAX] {
        refused(0, 0, opcode, Fault::UnknownOperator(opcode));
    }
    for word in 1..4 {
        refused(1, word, 4, Fault::TensorIndex(4));
        refused(1, word, u32::MAX, Fault::TensorIndex(u32::MAX));
    }
    // Steps never write the tensor they read.
    refused(1, 3, 0, Fault::Shape);
    refused(1, 3, 1, Fault::Overlap);
    for (word, value) in [(4, 0), (5, 65), (6, 0), (8, 0), (9, 65), (10, 65)] {
        refused(0, word, value, Fault::Parameter(word as u32 - 4));
    }
    // A window that would meet no pixel.
    refused(0, 6, 9, Fault::Shape);
    refused(1, 4, 1, Fault::Constants(0));
    refused(1, 4, u32::MAX, Fault::Constants(0));
    refused(1, 5, 2, Fault::Parameter(1));
    refused(1, 5, 1, Fault::Constants(0));
    for multiplier in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        refused(2, 4, bits(multiplier), Fault::ConstantValue);
    }
    refused(2, 5, 256, Fault::Parameter(1));
    refused(2, 6, 256, Fault::Parameter(2));
    let writer = sample();
    let mut words = writer.words();
    let at = start + 2 * RECORD_WORDS;
    (words[at + 5], words[at + 6]) = (9, 8);
    let crossed = Err(PlanError::Step { step: 2, fault: Fault::Parameter(2) });
    assert_eq!(parse(&words, writer.weights().bytes()), crossed);
}

#[test]
fn no_step_writes_an_input() {
    let mut plan = PlanWriter::default();
    let (input, other) =
        (plan.tensor([2, 2, 1], Halo::default(), 0), plan.tensor([2, 2, 1], Halo::default(), 0));
    let table = plan.constant(&[0u8; 256]);
    plan.step(Lookup::OPCODE, [other; 2], input, &[table, 0]);
    let refused = Err(PlanError::Step { step: 0, fault: Fault::TensorIndex(0) });
    assert_eq!(parse(&plan.words(), plan.weights().bytes()), refused);
}

#[test]
fn every_truncation_and_extension_is_refused() {
    let writer = sample();
    let (bytes, weights) = (writer.plan(), writer.weights());
    for length in 0..bytes.bytes().len() {
        assert!(Plan::parse(&bytes.bytes()[..length], weights.bytes()).is_err(), "{length}");
    }
    let longer = [bytes.bytes(), &[0; 4]].concat();
    assert_eq!(Plan::parse(Aligned::of(&longer).bytes(), weights.bytes()).err(), Some(PlanError::Length));
    assert!(Plan::parse(bytes.bytes(), &weights.bytes()[..255]).is_err());
    let shifted = [&[0; 2], bytes.bytes()].concat();
    assert!(Plan::parse(&Aligned::of(&shifted).bytes()[2..], weights.bytes()).is_err());
}

/// Runs a plan on zeros when it is accepted and small; nothing may panic.
fn try_run(words: &[u32], constants: &[u8]) -> bool {
    let bytes = Aligned::of(bytemuck::cast_slice(words));
    let Ok(plan) = Plan::parse(bytes.bytes(), constants) else { return false };
    if plan.arena_bytes() > 1 << 16 {
        return false;
    }
    let mut arena = Aligned::of(&vec![0; plan.arena_bytes()]);
    for input in 0..plan.inputs() {
        let layout = plan.tensor(input).unwrap().layout;
        let codes = vec![200; layout.height * layout.width * layout.channels];
        interpreter::load_input(&plan, arena.bytes_mut(), input, &codes).unwrap();
    }
    interpreter::run(&plan, &Reference, arena.bytes_mut(), &mut ()).unwrap();
    true
}

#[test]
fn damaged_plans_are_refused_or_run_without_a_panic() {
    let writer = sample();
    let (original, weights) = (writer.words(), writer.weights());
    let mut random = Random(41);
    let mut ran = 0;
    for _ in 0..60_000 {
        let mut words = original.clone();
        for _ in 0..random.between(1, 4) {
            let at = random.between(0, words.len() - 1);
            words[at] = match random.between(0, 3) {
                0 => random.bits() as u32,
                1 => words[at] ^ 1 << random.between(0, 31),
                2 => random.between(0, 15) as u32,
                _ => words[random.between(0, original.len() - 1)],
            };
        }
        ran += usize::from(try_run(&words, weights.bytes()));
    }
    assert!(ran > 1000, "only {ran} damaged plans were accepted");
}

#[test]
fn random_words_are_refused_without_a_panic() {
    let mut random = Random(42);
    for _ in 0..20_000 {
        let mut words: Vec<u32> = (0..random.between(0, 80)).map(|_| random.between(0, 70) as u32).collect();
        if let Some(arena) = words.get_mut(4) {
            *arena = 4096;
        }
        try_run(&words, &[0; 64]);
    }
}
