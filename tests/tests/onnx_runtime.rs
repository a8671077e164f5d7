//! Operators and whole models against ONNX Runtime, from cases that `tests/oracle/cutouts.py` writes.
//!
//! `CANDOR_ORACLE_CASES` names a directory of case directories, one per model.

use candor::{Package, Session, SessionOptions, Tier};
use candor_imaging::frame::Samples;
use candor_imaging::read;
use candor_lab::build::{self, BuildOptions};
use candor_lab::dataset::Split;
use candor_lab::lower::Ending;
use candor_lab::onnx::{self, ImportOptions};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
            let options = SessionOptions { tier: Some(tier), threads, memory: None };
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

#[test]
fn operators_and_models_agree_with_onnx_runtime() {
    let cases = std::env::var_os("CANDOR_ORACLE_CASES").ok_or_else(|| {
        "CANDOR_ORACLE_CASES names no directory of cases (tests/oracle/cutouts.py)".to_string()
    });
    let Some(root) = candor_tests::require("oracle-cases", cases) else { return };
    let mut failures = Vec::new();
    for model in folders(Path::new(&root)) {
        let mut kinds: BTreeMap<String, Agreement> = BTreeMap::new();
        let mut unoptimised = Agreement::default();
        for folder in folders(&model) {
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
        }
        let name = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (op, agreement) in &kinds {
            let (share, farthest) = (agreement.share(), agreement.farthest);
            let mean = agreement.total / agreement.values.max(1) as f64;
            println!(
                "{name:<28} {op:<16} {:>9} values {:>9.5} % identical, mean {mean:.5}, farthest {farthest}",
                agreement.values,
                100.0 * share
            );
            let held = match op.as_str() {
                "Conv" => share == 1.0,
                "whole" => {
                    share >= unoptimised.share() && mean <= unoptimised.total / unoptimised.values as f64
                }
                _ => share >= 0.999 && farthest <= 1.0,
            };
            if !held {
                failures.push(format!("{name} {op}: {:.5} % identical, farthest {farthest}", 100.0 * share));
            }
        }
        println!(
            "{name:<28} ONNX Runtime without graph optimisation: {:.5} % identical, mean {:.5}",
            100.0 * unoptimised.share(),
            unoptimised.total / unoptimised.values.max(1) as f64
        );
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
