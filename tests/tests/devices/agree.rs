//! Random networks of every operator: the reference, Candle's devices, and the kernels run by the host.

use crate::host::Host;
use crate::networks::Case;
use crate::targets;
use candor::Package;
use candor_core::calibration::{self, Tables};
use candor_core::interpreter::{Observer, load_input, run, tensor_rows};
use candor_core::kernels::Reference;
use candor_core::package::{Head, Section};
use candor_core::plan::{ALIGNMENT, Plan};
use candor_core::tensor::{Layout, Rows};
use candor_gpu::{Executor, ExecutorOptions, Program};

/// What comes of a frame.
#[derive(Debug, PartialEq)]
pub struct Found {
    /// Values of the output, planar `[C,H,W]`.
    pub output: Vec<i32>,
    /// The same as digests take them.
    pub logical: Vec<u8>,
    /// Class of every pixel.
    pub mask: Vec<u8>,
    /// Confidence of every pixel.
    pub confidence: Vec<u16>,
}

/// A package as the executors take it.
pub struct Model<'p> {
    pub plan: Plan<'p>,
    pub head: Head<'p>,
    pub tables: Tables<'p>,
}

impl<'p> Model<'p> {
    pub fn new(package: &'p Package) -> Self {
        let view = package.view().expect("the package is sound");
        let head = view.head().expect("sound");
        let tables = match view.section(Section::Calibration) {
            Some(section) => Tables::parse(section, &head).expect("sound").0,
            None => Tables::uncalibrated(&head),
        };
        Self { plan: view.plan().expect("sound"), head, tables }
    }

    fn pixels(&self) -> usize {
        let layout = self.plan.tensor(self.plan.output()).expect("parsed").layout;
        layout.height * layout.width
    }

    /// Runs the specification; `read` sees the arena it leaves.
    pub fn run<T>(&self, inputs: &[&[u8]], observer: &mut impl Observer, read: impl FnOnce(&[u8]) -> T) -> T {
        let bytes = self.plan.arena_bytes();
        let mut storage = vec![0x5a; bytes + ALIGNMENT];
        let start = storage.as_ptr().align_offset(ALIGNMENT);
        let arena = &mut storage[start..start + bytes];
        for (input, codes) in inputs.iter().enumerate() {
            load_input(&self.plan, arena, input, codes).expect("the codes fit");
        }
        run(&self.plan, &Reference, arena, observer).expect("the arena fits");
        read(arena)
    }

    /// By the specification.
    pub fn reference(&self, inputs: &[&[u8]]) -> Found {
        self.run(inputs, &mut (), |arena| self.found(arena))
    }

    fn found(&self, arena: &[u8]) -> Found {
        let rows = tensor_rows(&self.plan, arena, self.plan.output()).expect("parsed");
        let (mut mask, mut confidence) = (vec![0; self.pixels()], vec![0; self.pixels()]);
        calibration::apply(&self.head, &self.tables, rows, &mut mask, &mut confidence);
        calibration::finish(&self.head, &self.tables, rows.layout.width, 0, &mask, &mut confidence);
        Found { output: values(rows), logical: logical(rows), mask, confidence }
    }

    /// By an executor, whose arena still holds an earlier frame.
    pub fn executed(&self, executor: &mut Executor<'_>, inputs: &[&[u8]]) -> Found {
        executor.run(inputs).expect("the codes fit");
        let tensor = self.plan.tensor(self.plan.output()).expect("parsed");
        let mut bytes = vec![0; tensor.layout.bytes()];
        executor.read_tensor(self.plan.output(), &mut bytes).expect("it is there");
        let (mut mask, mut confidence) = (vec![0; self.pixels()], vec![0; self.pixels()]);
        let rows = Rows::whole(tensor.layout, &bytes);
        let mut own = vec![0; logical(rows).len()];
        executor.read_finding(&mut mask, &mut confidence, &mut own).expect("there is a head");
        Found { output: values(rows), logical: own, mask, confidence }
    }

    /// By the GPU's kernels on the host's processor, those of CUDA alone included or not.
    pub fn emulated(&self, host: &Host, inputs: &[&[u8]], has_all: bool) -> Found {
        let program = Program::new(&self.plan, Some((&self.head, &self.tables)), &[]).expect("parsed");
        let arena = host.run(&self.plan, &program, inputs, has_all);
        let tensor = self.plan.tensor(self.plan.output()).expect("parsed");
        let rows = Rows::whole(tensor.layout, &arena[tensor.range()]);
        let confidence = arena[program.regions.confidence.clone()].chunks_exact(2);
        Found {
            output: values(rows),
            logical: arena[program.regions.output.clone()].to_vec(),
            mask: arena[program.regions.mask.clone()].to_vec(),
            confidence: confidence.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect(),
        }
    }
}

/// Planar values of a tensor.
fn values(rows: Rows<'_>) -> Vec<i32> {
    let layout = rows.layout;
    let mut values = Vec::with_capacity(layout.channels * layout.height * layout.width);
    for c in 0..layout.channels {
        for y in 0..layout.height {
            values.extend((0..layout.width).map(|x| rows.value(y, x, c)));
        }
    }
    values
}

/// The bytes whose hash, behind the extents, is a tensor's digest.
fn logical(rows: Rows<'_>) -> Vec<u8> {
    let Layout { height, width, channels, element, .. } = rows.layout;
    let mut bytes = Vec::new();
    for at in 0..height * width * channels {
        let value = rows.value(at / channels / width, at / channels % width, at % channels);
        bytes.extend_from_slice(&value.to_le_bytes()[..element.bytes()]);
    }
    bytes
}

/// Whatever runs a case must find what the reference finds; the second frame meets what the first left.
pub fn check(case: &Case) {
    let package = Package::load(&case.package).expect("the package is sound");
    let model = Model::new(&package);
    let frames: Vec<Vec<&[u8]>> =
        case.frames.iter().map(|inputs| inputs.iter().map(Vec::as_slice).collect()).collect();
    let expected: Vec<Found> = frames.iter().map(|inputs| model.reference(inputs)).collect();
    for target in targets::present() {
        let options = ExecutorOptions { target, memory: None, tier: None, threads: 2 };
        let head = Some((model.head, model.tables));
        let mut executor = Executor::new(model.plan, head, Vec::new(), &options).expect("it is present");
        for (inputs, expected) in frames.iter().zip(&expected) {
            let found = model.executed(&mut executor, inputs);
            assert!(found == *expected, "seed {} differs on {target}", case.seed);
        }
    }
    if let Some(host) = Host::compiled() {
        for (device, has_all) in [("Metal", false), ("CUDA", true)] {
            let found = model.emulated(host, &frames[0], has_all);
            assert!(found == expected[0], "seed {} differs in {device}'s kernels", case.seed);
        }
    }
}

#[test]
fn random_networks_agree() {
    (50_000..50_100).for_each(|seed| check(&Case::any(seed)));
}

#[test]
fn random_networks_of_one_input_agree() {
    (60_000..60_060).for_each(|seed| check(&Case::streamed(seed, true)));
}
