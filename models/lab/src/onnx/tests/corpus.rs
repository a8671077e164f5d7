//! Real files: the public ONNX operator cases, a published U-Net, and whatever exports are at hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::{ImportOptions, NamedTensor, import, read_tensor, simplify};
use crate::execute;
use crate::network::{Coordinates, Data, Network, Tensor};

/// A folder of the shared test data, or `None` after saying why the test is skipped.
fn data(folder: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let base = std::env::var_os("CANDOR_DATA").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    present(base.join(folder), "data")
}

fn present(path: PathBuf, name: &str) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    let required = std::env::var("CANDOR_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|entry| entry.trim() == name), "{} is required", path.display());
    println!("SKIPPED {name}: {} does not exist", path.display());
    None
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a readable folder");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// The tensors `input_0.pb`, `input_1.pb`, … (or `output_…`) of a case; `None` where a type is not
/// supported.
fn tensors(case: &Path, prefix: &str) -> Option<Vec<NamedTensor>> {
    (0..)
        .map(|index| case.join(format!("test_data_set_0/{prefix}_{index}.pb")))
        .take_while(|path| path.exists())
        .map(|path| read_tensor(&std::fs::read(path).expect("a readable tensor")).ok())
        .collect()
}

/// Largest excess of |actual − expected| over the ONNX backend tolerance, 1e-7 + 1e-3 · |expected|; `None`
/// when shape or type differ.
fn excess(actual: &Tensor, expected: &Tensor) -> Option<f32> {
    if actual.shape != expected.shape {
        return None;
    }
    match (&actual.data, &expected.data) {
        (Data::F32(actual), Data::F32(expected)) => {
            let excess =
                |(a, e): (&f32, &f32)| if a == e { 0.0 } else { (a - e).abs() - 1e-3 * e.abs() - 1e-7 };
            Some(
                actual
                    .iter()
                    .zip(expected)
                    .map(excess)
                    .fold(0.0, |most, one| if one <= most { most } else { one }),
            )
        }
        (actual, expected) => (actual == expected).then_some(0.0),
    }
}

/// Whether operators are left to run once constants are folded; an error beginning with WRONG is a defect.
fn outcome(case: &Path) -> Result<bool, String> {
    let bytes = std::fs::read(case.join("model.onnx")).expect("a readable model");
    // Whatever happens, importing without help must not panic.
    let alone = import(&bytes, &ImportOptions::default());
    let (Some(inputs), Some(outputs)) = (tensors(case, "input"), tensors(case, "output")) else {
        return alone.map(|_| false).map_err(|errors| format!("tensor types: {errors}"));
    };
    let fixed = |keep: &dyn Fn(usize, &NamedTensor) -> bool| ImportOptions {
        fixed_inputs: inputs
            .iter()
            .enumerate()
            .filter(|(index, input)| !keep(*index, input))
            .map(|(_, input)| (input.name.clone(), input.tensor.clone()))
            .collect(),
        ..ImportOptions::default()
    };
    let float = |_: usize, input: &NamedTensor| input.element.is_float();
    let first = |index: usize, _: &NamedTensor| index == 0;
    let imported = alone
        .or_else(|alone| import(&bytes, &fixed(&float)).map_err(|_| alone))
        .or_else(|alone| import(&bytes, &fixed(&first)).map_err(|_| alone))
        .map_err(|errors| errors.to_string())?;
    let runs = |network: &Network| {
        let wanted: Vec<Tensor> = network
            .inputs
            .iter()
            .filter_map(|&id| inputs.iter().find(|input| input.name == network.values[id].name))
            .map(|input| input.tensor.clone())
            .collect();
        execute::run(network, &wanted, &mut |_, _| {}).map_err(|error| format!("WRONG execution: {error}"))
    };
    let mut network = imported.network;
    let computes = !network.nodes.is_empty();
    for stage in ["imported", "simplified"] {
        for (actual, expected) in runs(&network)?.iter().zip(&outputs) {
            match excess(actual, &expected.tensor) {
                Some(excess) if excess <= 0.0 => {}
                excess => return Err(format!("WRONG {stage} {}: off by {excess:?}", expected.name)),
            }
        }
        simplify(&mut network);
    }
    Ok(computes)
}

#[test]
fn every_operator_case_matches_or_is_refused_with_a_reason() {
    let Some(folder) = data("onnx-node") else { return };
    let mut refused = BTreeMap::new();
    let mut wrong = Vec::new();
    let (mut passed, mut folded) = (0, 0);
    for case in sorted(&folder).iter().filter(|path| path.join("model.onnx").exists()) {
        let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match outcome(case) {
            Ok(true) => passed += 1,
            Ok(false) => folded += 1,
            Err(reason) if reason.starts_with("WRONG") => wrong.push(format!("{name}: {reason}")),
            Err(reason) => {
                refused.insert(name, reason);
            }
        }
    }
    for (name, reason) in &refused {
        println!("refused {name}: {}", reason.lines().next().unwrap_or_default());
    }
    let (refused, wrong_count) = (refused.len(), wrong.len());
    println!(
        "{passed} cases match, {folded} fold to constants that match, {refused} refused, {wrong_count} wrong"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(passed >= 160, "only {passed} cases match");
}

/// The elements of a `.npy` file of little-endian float32 or uint16 (numpy.lib.format, version 1).
fn npy(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).expect("a readable array");
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let (header, elements) = bytes.split_at(start);
    let header = String::from_utf8_lossy(header);
    assert!(!header.contains("'fortran_order': True"));
    if header.contains("'<u2'") {
        return elements.as_chunks().0.iter().map(|&word| f32::from(u16::from_le_bytes(word))).collect();
    }
    assert!(header.contains("'<f4'"), "{header}");
    elements.as_chunks().0.iter().map(|&word| f32::from_le_bytes(word)).collect()
}

/// Largest absolute difference of a network's first output from `expected`, and its largest magnitude.
fn difference(network: &Network, input: &[f32], expected: &[f32]) -> (f32, f32) {
    let shape = network.values[network.inputs[0]].shape.clone();
    let output = super::run(network, Tensor::f32(shape, input.to_vec()));
    let actual = output.as_f32().expect("a float output");
    assert_eq!(actual.len(), expected.len());
    let worst = actual.iter().zip(expected).map(|(a, e)| (a - e).abs()).fold(0.0, f32::max);
    (worst, expected.iter().fold(0.0, |most, value| value.abs().max(most)))
}

/// Zero mean, unit variance: the preprocessing the U-Net's author states.
fn standardized(frame: &[f32]) -> Vec<f32> {
    let count = frame.len() as f64;
    let mean = frame.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let variance = frame.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
    frame.iter().map(|&value| ((f64::from(value) - mean) / (variance.sqrt() + 1e-6)) as f32).collect()
}

#[test]
fn the_nuclei_unet_reproduces_its_reference_output_with_half_pixel_upsampling() {
    let Some(folder) = data("nuclei-unet") else { return };
    let bytes = std::fs::read(folder.join("weights.onnx")).expect("a readable model");
    let input = standardized(&npy(&folder.join("test_input.npy")));
    let expected = npy(&folder.join("test_output.npy"));
    let followed = super::load(&bytes).expect("the U-Net imports");
    assert_eq!(followed.notes.len(), 3, "one note per linear Upsample: {:?}", followed.notes);
    assert!(followed.notes.iter().all(|note| note.text.contains("asymmetric")));
    let (asymmetric, _) = difference(&followed.network, &input, &expected);
    assert!((0.2..0.25).contains(&asymmetric), "ONNX Runtime is off by 0.226, this by {asymmetric}");
    let options =
        ImportOptions { resize_coordinates: Some(Coordinates::HalfPixel), ..ImportOptions::default() };
    let mut network = import(&bytes, &options).expect("the U-Net imports").network;
    let (plain, _) = difference(&network, &input, &expected);
    assert!(plain < 1e-5, "off by {plain}");
    simplify(&mut network);
    let (simplified, _) = difference(&network, &input, &expected);
    assert!(simplified < 1e-5, "off by {simplified}");
}

/// Checks what `exports.py --out DIR --reference` wrote, when `CANDOR_EXPORTS` names DIR.
#[test]
fn exported_networks_load_and_reproduce_pytorch() {
    let Some(folder) = std::env::var_os("CANDOR_EXPORTS") else {
        println!("SKIPPED exports: CANDOR_EXPORTS names no folder");
        return;
    };
    let mut failures = Vec::new();
    let mut loaded = 0;
    for path in sorted(Path::new(&folder)).iter().filter(|path| path.extension().is_some_and(|e| e == "onnx"))
    {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        // The extents `exports.py` exports at; needed where they are symbolic.
        let options = ImportOptions { input_size: Some([256, 256]), ..ImportOptions::default() };
        match import(&std::fs::read(path).expect("a readable model"), &options) {
            Err(errors) => failures.push(format!("{name}: {errors}")),
            Ok(imported) => {
                let mut network = imported.network;
                let before = network.nodes.len();
                let plain = network.clone();
                simplify(&mut network);
                loaded += 1;
                println!("{name}: {before} nodes, {} simplified, {:?}", network.nodes.len(), imported.notes);
                let reference = path.with_extension("output.npy");
                if reference.exists() {
                    let input = npy(&path.with_extension("input.npy"));
                    let expected = npy(&reference);
                    for network in [&plain, &network] {
                        let (worst, most) = difference(network, &input, &expected);
                        println!("  differs by {worst} of {most}");
                        if worst.is_nan() || worst > 1e-4 * most.max(1.0) {
                            failures.push(format!("{name}: off by {worst} of {most}"));
                        }
                    }
                }
            }
        }
    }
    println!("{loaded} loaded");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
