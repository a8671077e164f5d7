//! Damaged and malicious files: an answer, never a panic, and never memory out of proportion to the file.

use super::super::{ImportOptions, import, read_tensor};
use super::writer::{Model, Proto, floats, int_attribute, ints, ints_attribute, node, port, tensor};
use super::{load, refusal};

/// A small model with most message kinds in it.
fn sample() -> Vec<u8> {
    Model::image(&[1, 2, 6, 6])
        .initializer(floats("w", &[2, 2, 3, 3], &[0.25; 36]))
        .initializer(ints("shape", &[1, -1]))
        .initializer(floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0]))
        .node(node("Conv", &["x", "w"], &["a"], &[ints_attribute("pads", &[1, 1, 1, 1])]))
        .node(node("Relu", &["a"], &["b"], &[]))
        .node(node("Resize", &["b", "", "scales"], &["c"], &[]))
        .node(node("Concat", &["c", "c"], &["d"], &[int_attribute("axis", 1)]))
        .node(node("Reshape", &["d", "shape"], &["y"], &[]))
        .field(12, &port("y", 1, &[1, -1]))
        .bytes(17)
}

/// xorshift64, so that a failing mutation repeats.
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) as usize
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let bytes = sample();
    assert!(load(&bytes).is_ok());
    for end in 0..bytes.len() {
        assert!(load(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn wire_damage_names_the_byte() {
    let mut bytes = sample();
    bytes.truncate(bytes.len() - 1);
    let refusal = refusal(&bytes);
    assert!(refusal.starts_with("model: byte "), "{refusal}");
    assert!(refusal.contains("reaches past the end"), "{refusal}");
}

#[test]
fn no_flipped_bit_causes_a_panic() {
    let original = sample();
    for position in 0..original.len() {
        for bit in 0..8 {
            let mut bytes = original.clone();
            bytes[position] ^= 1 << bit;
            let _ = load(&bytes);
        }
    }
}

#[test]
fn no_burst_of_random_bytes_causes_a_panic() {
    let original = sample();
    let options = ImportOptions { input_size: Some([8, 8]), ..ImportOptions::default() };
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..20_000 {
        let mut bytes = original.clone();
        for _ in 0..1 + next(&mut state) % 6 {
            let position = next(&mut state) % bytes.len();
            bytes[position] = next(&mut state) as u8;
        }
        let _ = import(&bytes, &options);
        let _ = read_tensor(&bytes[next(&mut state) % bytes.len()..]);
    }
}

#[test]
fn extents_are_checked_against_the_data_before_anything_is_allocated() {
    for dims in [&[1 << 31][..], &[1 << 20, 1 << 20, 1 << 20], &[i64::MAX, i64::MAX], &[-1], &[0, i64::MAX]] {
        for code in [1, 3, 7, 9, 10, 11] {
            let message = read_tensor(&tensor("t", code, dims, &[0; 8]).0).unwrap_err().to_string();
            assert!(message.starts_with("tensor 't'"), "{message}");
            // The same claim with the typed data field instead of raw bytes.
            let typed = dims.iter().fold(Proto::default(), |typed, &dim| typed.varint(1, dim));
            assert!(read_tensor(&typed.varint(2, code).bytes(7, &[1, 2]).0).is_err());
        }
    }
}

#[test]
fn folding_stops_where_constants_would_outgrow_the_file() {
    let wide = Model::image(&[1])
        .initializer(ints("shape", &[1 << 15, 1 << 15]))
        .node(node("ConstantOfShape", &["shape"], &["zeros"], &[]))
        .node(node("Add", &["x", "zeros"], &["y"], &[]))
        .output("y");
    assert!(refusal(&wide.bytes(17)).contains("ConstantOfShape_zeros': folding its 1073741824"));
    let range = Model::image(&[1])
        .initializer(tensor("zero", 7, &[], &[0; 8]))
        .initializer(tensor("limit", 7, &[], &(1i64 << 40).to_le_bytes()))
        .initializer(tensor("one", 7, &[], &1i64.to_le_bytes()))
        .node(node("Range", &["zero", "limit", "one"], &["y"], &[]))
        .output("y");
    assert!(refusal(&range.bytes(17)).contains("Range_y'"));
    // Doubling a tensor again and again exceeds any budget of bytes, step by small step.
    let mut doubling = Model::image(&[1]).initializer(floats("t0", &[64], &[1.0; 64]));
    for step in 0..40 {
        let (from, to) = (format!("t{step}"), format!("t{}", step + 1));
        doubling = doubling.node(node("Concat", &[&from, &from], &[&to], &[int_attribute("axis", 0)]));
    }
    let refusal = refusal(&doubling.output("t40").bytes(17));
    assert!(refusal.contains("far exceed the size of the file"), "{refusal}");
}

#[test]
fn values_too_large_to_count_are_refused() {
    let scales = floats("s", &[4], &[1.0, 1.0, 1000.0, 1000.0]);
    let model = Model::image(&[1, 4, 4096, 4096])
        .initializer(scales)
        .node(node("Resize", &["x", "", "s"], &["y"], &[]))
        .output("y");
    assert!(refusal(&model.bytes(17)).contains("exceeds 2147483648 elements"));
    let input = Model::image(&[1 << 30, 1 << 30]).node(node("Relu", &["x"], &["y"], &[])).output("y");
    assert!(refusal(&input.bytes(17)).contains("exceeds 2147483648 elements"));
}

#[test]
fn deep_nesting_in_unread_fields_is_skipped() {
    let mut nested = Proto::default();
    for _ in 0..10_000 {
        nested = Proto::default().message(6, &nested);
    }
    let graph = Proto::default().text(1, "body").message(6, &nested).varint(20, 5);
    let model = Model::image(&[1]).node(node("Loop", &["x"], &["y"], &[graph])).output("y");
    assert!(refusal(&model.bytes(17)).contains("subgraph"));
}

#[test]
fn a_long_name_used_many_times_is_copied_short() {
    let name = "n".repeat(100_000);
    let inputs = vec!["x"; 2000];
    let mut sum = Proto::default();
    for input in &inputs {
        sum = sum.text(1, input);
    }
    let sum = sum.text(2, "y").text(3, &name).text(4, "Sum");
    let network = load(&Model::image(&[1]).node(sum).output("y").bytes(17)).unwrap().network;
    assert_eq!(network.nodes.len(), 1999);
    let copied: usize = network.nodes.iter().map(|node| node.name.len()).sum();
    assert!(copied < 100_000 + 2000 * 500, "{copied} bytes of names");
}
