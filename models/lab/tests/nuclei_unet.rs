//! A published U-Net from file to probabilities, against its author's output and against ONNX Runtime.

use std::path::{Path, PathBuf};

use candor_lab::execute;
use candor_lab::network::{Coordinates, Tensor};
use candor_lab::onnx::{ImportOptions, import, simplify};

/// Height and width of the reference image.
const SIZE: usize = 512;
const TOLERANCE: f32 = 1e-4;

/// The folder of the model, or `None` after saying why the test is skipped.
fn folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let base = std::env::var_os("CANDOR_DATA").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let folder = base.join("nuclei-unet");
    if folder.is_dir() {
        return Some(folder);
    }
    let required = std::env::var("CANDOR_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|entry| entry.trim() == "data"), "{} is required", folder.display());
    println!("SKIPPED {} does not exist; CANDOR_DATA names the folder that holds it", folder.display());
    None
}

/// The elements of a version 1 `.npy` file (numpy.lib.format) as little-endian words of `N` bytes.
fn npy<const N: usize>(path: &Path) -> Vec<[u8; N]> {
    let bytes = std::fs::read(path).expect("a readable array");
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let words: Vec<[u8; N]> =
        bytes[start..].chunks_exact(N).map(|word| word.try_into().expect("a whole word")).collect();
    assert_eq!(words.len(), SIZE * SIZE, "{} holds another element type or size", path.display());
    words
}

/// The reference image (u16) at zero mean and unit variance, as the network was trained.
fn normalized_input(folder: &Path) -> Tensor {
    let pixels: Vec<f64> = npy(&folder.join("test_input.npy"))
        .into_iter()
        .map(|word| f64::from(u16::from_le_bytes(word)))
        .collect();
    let count = pixels.len() as f64;
    let mean = pixels.iter().sum::<f64>() / count;
    let deviation = (pixels.iter().map(|pixel| (pixel - mean).powi(2)).sum::<f64>() / count).sqrt();
    let normal = pixels.iter().map(|pixel| ((pixel - mean) / (deviation + 1e-6)) as f32).collect();
    Tensor::f32(vec![1, 1, SIZE, SIZE], normal)
}

/// Probabilities of the network with the given Upsample coordinates, simplified or as imported.
fn probabilities(folder: &Path, coordinates: Option<Coordinates>, simplified: bool) -> Vec<f32> {
    let bytes = std::fs::read(folder.join("weights.onnx")).expect("a readable model");
    let options = ImportOptions { resize_coordinates: coordinates, ..ImportOptions::default() };
    let mut network = import(&bytes, &options).expect("the U-Net imports").network;
    if simplified {
        simplify(&mut network);
    }
    let outputs =
        execute::run(&network, &[normalized_input(folder)], &mut |_, _| {}).expect("the U-Net runs");
    assert_eq!(outputs[0].shape, [1, 1, SIZE, SIZE]);
    outputs[0].as_f32().expect("float probabilities").to_vec()
}

#[test]
fn half_pixel_upsampling_reproduces_the_authors_output() {
    let Some(folder) = folder() else { return };
    let expected = npy(&folder.join("test_output.npy")).into_iter().map(f32::from_le_bytes);
    let actual = probabilities(&folder, Some(Coordinates::HalfPixel), true);
    for (at, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        assert!((actual - expected).abs() <= TOLERANCE, "pixel {at} is {actual}, the author's {expected}");
    }
}

/// ONNX Runtime 1.32 on the CPU, same file and input; at these pixels half-pixel coordinates differ by
/// 0.001 to 0.02.
#[test]
fn the_file_as_it_stands_reproduces_onnx_runtime() {
    let Some(folder) = folder() else { return };
    let actual = probabilities(&folder, None, false);
    let expected = [
        ([480, 352], 0.317_358_6),
        ([32, 96], 0.902_502_2),
        ([32, 32], 0.928_368_1),
        ([224, 480], 0.652_133_9),
        ([160, 96], 0.927_443_1),
        ([480, 288], 0.808_074_6),
        ([416, 416], 0.960_522_3),
        ([32, 224], 0.052_673_697),
    ];
    for ([y, x], expected) in expected {
        let actual = actual[y * SIZE + x];
        assert!((actual - expected).abs() <= TOLERANCE, "({y}, {x}) is {actual}, ONNX Runtime's {expected}");
    }
}
