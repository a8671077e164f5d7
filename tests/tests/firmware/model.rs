//! A package as a board takes it: a Rust file with its bytes and its schedule; and what a board must say of
//! it.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use candor::planner::{Goal, Planned, survey};
use candor::{Package, Session, SessionOptions, StepDigests};
use candor_core::digest::short;
use candor_core::golden;
use candor_core::ops::Op;
use candor_core::plan::Plan;
use sha2::{Digest, Sha256};

/// Seed of the frame.
const SEED: u32 = 11;

/// The smallest schedule there is, and the arena of the largest tensors laid out layer by layer.
fn schedule(plan: &Plan<'_>) -> (Planned, usize) {
    let goal = Goal { rate: 0.1, ..Goal::default() };
    let list = survey(plan, goal).expect("the plan was parsed");
    let whole = list[0].arena_bytes();
    (list.into_iter().min_by_key(Planned::arena_bytes).expect("there is one"), whole)
}

/// Writes package and schedule into `folder`; the Rust file.
pub fn write(folder: &Path, package: &Package, bytes: &[u8]) -> PathBuf {
    let plan = package.view().expect("a package").plan().expect("a plan");
    let (planned, _) = schedule(&plan);
    let schedule = planned.schedule();
    let output = plan.tensor(plan.output()).expect("an output").layout;
    let binary = folder.join("package.candor");
    std::fs::write(&binary, bytes).expect("the folder can be written");
    let mut text = String::new();
    let mut constant = |name: &str, kind: &str, value: String| {
        let _ = writeln!(text, "pub const {name}: {kind} = {value};");
    };
    let package = format!("include_bytes!({:?})", binary.to_str().expect("a plain path"));
    constant("PACKAGE", &format!("&[u8; {}]", bytes.len()), package);
    constant("SEED", "u32", SEED.to_string());
    constant("ARENA_BYTES", "usize", schedule.arena_bytes.to_string());
    constant("SCRATCH", "usize", schedule.scratch.to_string());
    constant("PIXELS", "usize", (output.height * output.width).to_string());
    let _ = writeln!(text, "pub static PLACES: [Place; {}] = [", schedule.places.len());
    for place in schedule.places {
        let layout = format!("{:?}", place.layout).replace("element: ", "element: Element::");
        let _ =
            writeln!(text, "Place {{ offset: {}, slots: {}, layout: {layout} }},", place.offset, place.slots);
    }
    let small = schedule.entries.iter().all(|entry| entry.map(u8::try_from).is_ok());
    let number = if small { "u8" } else { "u16" };
    let _ = writeln!(text, "];\npub static ENTRIES: [Entry<{number}>; {}] = [", schedule.entries.len());
    for entry in schedule.entries {
        let _ = writeln!(text, "Entry::{entry:?},");
    }
    text += "];\n";
    let file = folder.join("model.rs");
    std::fs::write(&file, text).expect("the folder can be written");
    file
}

/// What the host computes for the same frame.
pub struct Expected {
    steps: Vec<Option<u64>>,
    mask: u64,
    confidence: u64,
    pub arena_bytes: usize,
    pub whole_bytes: usize,
    pub macs: u64,
}

impl Expected {
    pub fn new(package: &Package) -> Self {
        let mut session = Session::new(package, &SessionOptions::default()).expect("the package runs here");
        let layout = session.plan().tensor(0).expect("an input").layout;
        let count = layout.height * layout.width * layout.channels;
        let codes: Vec<u8> = (0..count).map(|at| golden::input_code(SEED, at, layout.width)).collect();
        let mut digests = StepDigests::new(session.plan()).expect("the plan was parsed");
        let finding = session.run_codes(&[&codes], &mut digests).expect("the frame runs");
        let mask = short(Sha256::digest(finding.mask).into());
        let bytes: Vec<u8> = finding.confidence.iter().flat_map(|value| value.to_le_bytes()).collect();
        let confidence = short(Sha256::digest(bytes).into());
        let steps = digests.finish().0.into_iter().map(|digest| digest.map(short)).collect();
        let (planned, whole_bytes) = schedule(session.plan());
        let macs = macs(session.plan());
        Self { steps, mask, confidence, arena_bytes: planned.arena_bytes(), whole_bytes, macs }
    }

    /// Fails unless `lines` hold exactly these digests.
    pub fn check(&self, lines: &[String], what: &str) {
        let own = self.steps.iter().enumerate();
        let mut expected: Vec<String> =
            own.filter_map(|(step, digest)| Some(format!("step {step} {:016x}", (*digest)?))).collect();
        expected.push(format!("mask {:016x}", self.mask));
        expected.push(format!("confidence {:016x}", self.confidence));
        let said =
            |line: &&String| ["step ", "mask ", "confidence "].iter().any(|name| line.starts_with(name));
        let found: Vec<&String> = lines.iter().filter(said).collect();
        assert_eq!(found, expected.iter().collect::<Vec<_>>(), "{what}");
    }
}

/// Multiply-accumulates of one frame.
fn macs(plan: &Plan<'_>) -> u64 {
    let steps = (0..plan.steps()).map(|index| {
        let step = plan.step(index).expect("the plan was parsed");
        let layout = |tensor| plan.tensor(tensor).expect("the plan was parsed").layout;
        let (input, output) = (layout(step.inputs[0]), layout(step.output));
        let pixels = |layout: candor_core::tensor::Layout| layout.height * layout.width * layout.channels;
        match &step.op {
            Op::Convolution(op) => {
                pixels(output) * input.channels * op.window.kernel.iter().product::<usize>()
            }
            Op::Depthwise(op) => pixels(output) * op.window.kernel.iter().product::<usize>(),
            Op::TransposedConvolution(op) => {
                pixels(input) * output.channels * op.kernel.iter().product::<usize>()
            }
            _ => 0,
        }
    });
    steps.sum::<usize>() as u64
}
