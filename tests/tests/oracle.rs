//! Operators and whole models against ONNX Runtime, and resizing against Pillow.
//!
//! `tests/oracle/arithmetic_oracle.py` makes random operators here and now. `CANDOR_ORACLE_CASES` may name
//! a directory
//! of case directories, one per model, that `tests/oracle/cutouts.py` cut out of whole models.

use candor::geometry::Resampler;
use candor::{Package, Session, SessionOptions, Tier};
use candor_imaging::frame::Samples;
use candor_imaging::read;
use candor_lab::build::{self, BuildOptions};
use candor_lab::dataset::Split;
use candor_lab::lower::Ending;
use candor_lab::onnx::{self, ImportOptions};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Agreement of one operator kind.
#[derive(Default, Clone, Copy, Debug)]
struct Agreement {
    values: usize,
    identical: usize,
    farthest: f64,
    total: f64,
}

impl Agreement {
    fn add(&mut self, ours: &[f32], theirs: &[f32], step: f64) {
        assert_eq!(ours.len(), theirs.len());
        for (a, b) in ours.iter().zip(theirs) {
            let steps = f64::from((a - b).abs()) / step;
            self.values += 1;
            self.identical += usize::from(steps < 0.5);
            self.farthest = self.farthest.max(steps.round());
            self.total += steps;
        }
    }

    fn share(&self) -> f64 {
        self.identical as f64 / self.values.max(1) as f64
    }
}

fn array(path: &Path) -> (Vec<usize>, Vec<f32>) {
    let frame = read::open(path).unwrap_or_else(|error| panic!("{error}"));
    let shape = vec![frame.channels(), frame.height(), frame.width()];
    match frame.into_samples() {
        Samples::F32(values) => (shape, values),
        _ => panic!("{}: not f32", path.display()),
    }
}

/// The model's own output on `tiers` and one or two threads, which must agree to the byte.
fn outputs(folder: &Path, inputs: usize, tiers: &[Tier]) -> Result<Vec<f32>, String> {
    let bytes = std::fs::read(folder.join("model.onnx")).map_err(|error| error.to_string())?;
    let import = onnx::import(&bytes, &ImportOptions::default()).map_err(|error| error.to_string())?;
    let mut network = import.network;
    onnx::simplify(&mut network);
    let options = BuildOptions {
        name: "case".into(),
        source: String::new(),
        card: String::new(),
        classes: Vec::new(),
        normalize: build::unit(),
        geometry: candor_core::package::Geometry::Resize,
        images: None,
        masks: None,
        split: Split::All,
        only: None,
        alpha: 0.05,
        ending: Ending::Codes,
    };
    let built = build::build(&network, &options).map_err(|lines| lines.join("; "))?;
    let package = Package::load(&built.bytes).map_err(|error| error.to_string())?;
    let mut first: Option<([u8; 32], Vec<f32>)> = None;
    for &tier in tiers {
        for threads in [1, 2] {
            let options =
                SessionOptions { tier: Some(tier), threads, keep_output: true, ..Default::default() };
            let mut session = Session::new(&package, &options).map_err(|error| error.to_string())?;
            let mut codes = Vec::new();
            for index in 0..inputs {
                let (shape, values) = array(&folder.join(format!("input_{index}.npy")));
                codes.push(session.quantize_input(index, &shape, &values).map_err(|e| e.to_string())?);
            }
            let slices: Vec<&[u8]> = codes.iter().map(Vec::as_slice).collect();
            let digest = session.run_codes(&slices, &mut ()).map_err(|error| error.to_string())?.digest;
            match &first {
                None => first = Some((digest, session.logits().map_err(|error| error.to_string())?)),
                Some((expected, _)) => {
                    assert_eq!(*expected, digest, "{} on {} x{threads}", folder.display(), tier.name());
                }
            }
        }
    }
    first.map(|(_, values)| values).ok_or_else(|| "no tier".into())
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut list: Vec<PathBuf> =
        std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    list.sort();
    list
}

/// What is held against one operator kind.
fn held(op: &str, agreement: &Agreement, unoptimised: &Agreement) -> bool {
    let mean = |agreement: &Agreement| agreement.total / agreement.values.max(1) as f64;
    match op {
        "Conv" => agreement.share() == 1.0,
        "whole" => agreement.share() >= unoptimised.share() && mean(agreement) <= mean(unoptimised),
        _ => agreement.share() >= 0.999 && agreement.farthest <= 1.0,
    }
}

/// Compares every case of a model's folder, prints the figures and gives the cases by kind and what does
/// not hold.
fn compare(model: &Path) -> (BTreeMap<String, usize>, Vec<String>) {
    let (mut kinds, mut counts) = (BTreeMap::<String, Agreement>::new(), BTreeMap::new());
    let (mut unoptimised, mut failures) = (Agreement::default(), Vec::new());
    for folder in folders(model) {
        let meta = std::fs::read_to_string(folder.join("meta.json")).expect("meta.json");
        let meta: serde_json::Value = serde_json::from_str(&meta).expect("JSON");
        let op = meta["op"].as_str().expect("op").to_string();
        let step = meta["step"].as_f64().expect("step");
        let inputs = meta["inputs"].as_u64().expect("inputs") as usize;
        let expected = array(&folder.join("output.npy")).1;
        let later = op == "whole" && !folder.ends_with("whole_0");
        let tiers = if later { vec![Tier::best()] } else { Tier::available().collect() };
        match outputs(&folder, inputs, &tiers) {
            Ok(values) => kinds.entry(op.clone()).or_default().add(&values, &expected, step),
            Err(line) => failures.push(format!("{}: {line}", folder.display())),
        }
        if op == "whole" {
            let plain = array(&folder.join("unoptimised.npy")).1;
            unoptimised.add(&plain, &expected, step);
        }
        *counts.entry(op).or_default() += 1;
    }
    let name = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let line = |op: &str, agreement: &Agreement| {
        format!(
            "{name:<24} {op:<18} {:>9} values {:>9.5} % identical, mean {:.5}, farthest {}",
            agreement.values,
            100.0 * agreement.share(),
            agreement.total / agreement.values.max(1) as f64,
            agreement.farthest
        )
    };
    for (op, agreement) in &kinds {
        println!("{}", line(op, agreement));
        if !held(op, agreement, &unoptimised) {
            failures.push(line(op, agreement));
        }
    }
    if unoptimised.values > 0 {
        println!("{}", line("ONNX Runtime plain", &unoptimised));
    }
    (counts, failures)
}

/// Runs the oracle's part `part` into a new folder; `None` when there is no Python for it.
fn oracle(part: &str) -> Option<(tempfile::TempDir, PathBuf)> {
    let python = candor_tests::python()?;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = candor_tests::workspace_root().join("tests/oracle/arithmetic_oracle.py");
    let out = folder.path().join(part);
    let ran = Command::new(python).arg(script).arg(part).arg(&out).output().expect("Python starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    Some((folder, out))
}

#[test]
fn cutouts_and_whole_models_agree_with_onnx_runtime() {
    let cases = std::env::var_os("CANDOR_ORACLE_CASES").ok_or_else(|| {
        "CANDOR_ORACLE_CASES names no directory of cases (tests/oracle/cutouts.py)".to_string()
    });
    let Some(root) = candor_tests::require("oracle-cases", cases) else { return };
    let models = folders(Path::new(&root));
    assert!(!models.is_empty(), "{} holds no models", Path::new(&root).display());
    let failures: Vec<String> = models.iter().flat_map(|model| compare(model).1).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn random_operators_agree_with_onnx_runtime() {
    let Some((_folder, cases)) = oracle("models") else { return };
    let (counts, failures) = compare(&cases);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(counts["Conv"] >= 20 && counts.len() >= 12, "too few cases: {counts:?}");
}

/// The next `count` bytes.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

#[test]
fn resizing_equals_pillow_on_every_pixel() {
    let Some((_folder, cases)) = oracle("pillow") else { return };
    let cases = folders(&cases);
    assert!(cases.len() >= 50);
    for case in cases {
        let bytes = std::fs::read(&case).expect("a case");
        let mut rest = &bytes[..];
        let mut extent = || u32::from_le_bytes(take(&mut rest, 4).try_into().expect("four bytes")) as usize;
        let (source, target) = ([extent(), extent()], [extent(), extent()]);
        let image: Vec<u16> = take(&mut rest, source[0] * source[1]).iter().map(|&v| v.into()).collect();
        let expected: Vec<u16> = rest.iter().map(|&v| v.into()).collect();
        let mut narrow = vec![0; source[0] * target[1]];
        let mut resized = vec![0; target[0] * target[1]];
        Resampler::new(source[1], target[1]).columns(&image, &mut narrow);
        Resampler::new(source[0], target[0]).rows(&narrow, target[1], &mut resized);
        let differs = resized.iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!((differs, resized.len()), (None, expected.len()), "{source:?} to {target:?}");
    }
}
