//! Operators and whole models against ONNX Runtime, and resizing against Pillow.
//!
//! `tests/oracle/arithmetic_oracle.py` makes random operators here and now. `CANDOR_ORACLE_CASES` may name
//! a directory
//! of case directories, one per model, that `tests/oracle/cutouts.py` cut out of whole models.

use candor::Tier;
use candor::buffer::AlignedBuffer;
use candor::geometry::Resampler;
use candor::planner::{self, Goal};
use candor_core::plan::Plan;
use candor_cpu::CpuKernels;
use candor_imaging::frame::Samples;
use candor_imaging::read;
use candor_lab::lower::{self, Ending, Lowered};
use candor_lab::onnx::{self, ImportOptions, Problem};
use candor_lab::quantize::{Quantization, qdq};
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

    fn mean(&self) -> f64 {
        self.total / self.values.max(1) as f64
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

/// The model lowered as its file says, to end in codes.
fn lowered(folder: &Path) -> Result<Lowered, String> {
    let bytes = std::fs::read(folder.join("model.onnx")).map_err(|error| error.to_string())?;
    let import = onnx::import(&bytes, &ImportOptions::default()).map_err(|error| error.to_string())?;
    let mut network = import.network;
    onnx::simplify(&mut network);
    let listed =
        |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    lower::lower(&qdq::annotate(&network).map_err(listed)?, Ending::Codes).map_err(listed)
}

/// The model's own output on `tiers` and one or two threads, which must agree to the byte.
fn outputs(folder: &Path, tiers: &[Tier]) -> Result<Vec<f32>, String> {
    let lowered = lowered(folder)?;
    let sections = [&lowered.plan, &lowered.weights].map(|bytes| AlignedBuffer::copy_of(bytes));
    let plan = Plan::parse(sections[0].as_slice(), sections[1].as_slice());
    let plan = plan.map_err(|error| format!("the plan is refused: {error:?}"))?;
    let code = |(index, quantization): (usize, &Quantization)| {
        let values = array(&folder.join(format!("input_{index}.npy"))).1;
        values.iter().map(|&x| quantization.code(x)).collect()
    };
    let codes: Vec<Vec<u8>> = lowered.inputs.iter().enumerate().map(code).collect();
    let inputs: Vec<&[u8]> = codes.iter().map(Vec::as_slice).collect();
    let planned = planner::plan(&plan, Goal::default()).map_err(|error| format!("{error:?}"))?;
    let mut first: Option<Vec<i32>> = None;
    for (tier, threads) in tiers.iter().flat_map(|&tier| [(tier, 1), (tier, 2)]) {
        let kernels = CpuKernels::new(tier, threads).map_err(|error| error.to_string())?;
        let found = candor_tests::plan::run(&plan, Some(&planned.schedule()), &kernels, &inputs);
        let found = found.map_err(|error| format!("{error:?}"))?;
        let same = *first.get_or_insert_with(|| found.clone()) == found;
        assert!(same, "{} on {tier} x{threads}", folder.display());
    }
    let values = first.ok_or("no tier")?;
    let (scale, zero_point) = lowered.head.codes.ok_or("the output holds no codes")?;
    Ok(values.iter().map(|&code| (code - i32::from(zero_point)) as f32 * scale).collect())
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut list: Vec<PathBuf> =
        std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    list.sort();
    list
}

/// Outputs that others are held against (see `tests/oracle/cutouts.py`): ONNX Runtime as it comes, with every
/// convolution in integers, and in floats throughout; and the file's own arithmetic.
const OUTPUTS: [&str; 4] = ["output", "integers", "unoptimised", "exact"];

/// Agreement of one model's cases: by operator kind (`whole` for the model itself), who is compared and with
/// which output.
#[derive(Default)]
struct Table(BTreeMap<(String, &'static str, &'static str), Agreement>);

impl Table {
    /// Compares `ours` and the outputs of a case with each other.
    fn add(&mut self, folder: &Path, op: &str, ours: Vec<f32>, step: f64) {
        let read = |name: &'static str| Some((name, array(&existing(folder, name)?).1));
        let outputs: Vec<_> = OUTPUTS.into_iter().filter_map(read).collect();
        let own = ("candor", ours);
        for (expected, values) in &outputs {
            for (name, found) in outputs.iter().chain([&own]).filter(|(name, _)| name != expected) {
                let key = (op.to_string(), *name, *expected);
                self.0.entry(key).or_default().add(found, values, step);
            }
        }
    }

    fn get(&self, op: &str, name: &'static str, expected: &'static str) -> Agreement {
        self.0.get(&(op.to_string(), name, expected)).copied().unwrap_or_default()
    }

    /// Every kind of operator with whether it is as close to its oracle as it must be.
    fn verdicts(&self) -> BTreeMap<String, bool> {
        let kinds = self.0.keys().map(|(op, ..)| op);
        kinds.map(|op| (op.clone(), self.holds(op))).collect()
    }

    fn holds(&self, op: &str) -> bool {
        let ours = self.get(op, "candor", "output");
        match op {
            "Conv" => ours.share() == 1.0 && self.beats_floats(op, "exact"),
            "whole" => self.beats_floats(op, "integers"),
            _ => ours.share() >= 0.999 && ours.farthest <= 1.0,
        }
    }

    /// Whether Candor is at least as close to `expected` as ONNX Runtime's floats are.
    fn beats_floats(&self, op: &str, expected: &'static str) -> bool {
        let [ours, floats] = ["candor", "unoptimised"].map(|name| self.get(op, name, expected));
        ours.share() >= floats.share() && ours.mean() <= floats.mean()
    }
}

/// The file of an output, where the case has it.
fn existing(folder: &Path, name: &str) -> Option<PathBuf> {
    Some(folder.join(format!("{name}.npy"))).filter(|path| path.exists())
}

/// Compares every case of a model's folder, prints the figures and gives the cases by kind and what does
/// not hold.
fn compare(model: &Path) -> (BTreeMap<String, usize>, Vec<String>) {
    let (mut table, mut counts, mut failures) = (Table::default(), BTreeMap::new(), Vec::new());
    for folder in folders(model) {
        let meta = std::fs::read_to_string(folder.join("meta.json")).expect("meta.json");
        let meta: serde_json::Value = serde_json::from_str(&meta).expect("JSON");
        let op = meta["op"].as_str().expect("op").to_string();
        let step = meta["step"].as_f64().expect("step");
        let later = op == "whole" && !folder.ends_with("whole_0");
        let tiers = if later { vec![Tier::best()] } else { Tier::available().collect() };
        match outputs(&folder, &tiers) {
            Ok(values) => table.add(&folder, &op, values, step),
            Err(line) => failures.push(format!("{}: {line}", folder.display())),
        }
        *counts.entry(op).or_default() += 1;
    }
    let model = model.file_name().unwrap_or_default().to_string_lossy();
    for ((op, name, expected), agreement) in &table.0 {
        println!(
            "{model:<24} {:<36} {:>9} values {:>9.5} % identical, mean {:.5}, farthest {}",
            format!("{op}: {name} to {expected}"),
            agreement.values,
            100.0 * agreement.share(),
            agreement.mean(),
            agreement.farthest
        );
    }
    let lost = table.verdicts().into_iter().filter(|(_, held)| !held);
    failures.extend(lost.map(|(op, _)| format!("{model}: {op} is not as close as it must be")));
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
