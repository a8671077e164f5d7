//! One run of the model on a device: codes out, mask, confidence, output and what was tapped back.

use super::layers::time;
use crate::backend::{Backend, Roofs};
use crate::buffer::AlignedBuffer;
use crate::error::{Error, ErrorKind};
use crate::ood::features::{Features, Tap};
use candor_core::digest::TensorDigest;
use candor_core::interpreter::Observer;
use candor_core::plan::Plan;
use candor_core::schedule::Source;
use candor_core::tensor::{BLOCK, Layout, Rows, RowsMut};
use candor_cpu::CpuKernels;
use std::ops::Range;

/// A device and what the host keeps for it.
pub(super) struct Remote<'p> {
    backend: Box<dyn Backend + 'p>,
    /// Planar codes of one input.
    codes: Vec<u8>,
    /// One row of codes as a source writes it.
    row: Vec<u8>,
    /// The tensor read last; after a run the output, or its values alone.
    tensor: AlignedBuffer,
    /// Whether the output is read as it is stored.
    keeps_output: bool,
    /// Steps whose outputs frames are judged by.
    taps: Vec<usize>,
    /// Whether the device sums them; otherwise they are read.
    on_device: bool,
    /// What it sums.
    words: Vec<u64>,
}

/// Where a run's result goes.
pub(super) struct Targets<'a> {
    pub mask: &'a mut [u8],
    pub confidence: &'a mut [u16],
    pub digest: &'a mut Option<TensorDigest>,
}

impl<'p> Remote<'p> {
    /// With room for every tensor that may be read; [`Remote::output`] is there when the session keeps it.
    ///
    /// # Errors
    /// Never for a plan that was parsed.
    pub fn new(backend: Box<dyn Backend + 'p>, plan: &Plan<'_>, keeps_output: bool) -> Result<Self, Error> {
        let (mut codes, mut row, mut tensor) = (0, 0, 0);
        for index in 0..plan.tensors() {
            let layout = plan.tensor(index)?.layout;
            tensor = tensor.max(layout.bytes());
            if index < plan.inputs() {
                codes = codes.max(layout.height * layout.width * layout.channels);
                row = row.max(layout.row_bytes());
            }
        }
        let tensor = AlignedBuffer::zeroed(tensor);
        let (codes, row) = (vec![0; codes], vec![0; row]);
        let words = vec![0; backend.taps().iter().map(Tap::words).sum()];
        let taps = Vec::new();
        Ok(Self { backend, codes, row, tensor, keeps_output, taps, on_device: false, words })
    }

    /// The device's name.
    pub fn name(&self) -> String {
        self.backend.name()
    }

    /// Bytes held on the device and for it.
    pub fn bytes(&self) -> usize {
        let own = self.codes.len() + self.row.len() + size_of_val(self.words.as_slice());
        self.backend.bytes() + own + self.tensor.as_slice().len()
    }

    /// Judges frames by the outputs at `taps` from now on.
    pub fn tap(&mut self, taps: &[Tap]) {
        self.taps = taps.iter().map(|tap| tap.place.step).collect();
        self.taps.sort_unstable();
        self.taps.dedup();
        self.on_device = !taps.is_empty() && self.backend.taps() == taps;
    }

    /// The output of the last run, where it is kept.
    ///
    /// # Errors
    /// Never for a plan that was parsed.
    pub fn output(&self, plan: &Plan<'_>) -> Result<Rows<'_>, Error> {
        let layout = plan.tensor(plan.output())?.layout;
        Ok(Rows::whole(layout, &self.tensor.as_slice()[..layout.bytes()]))
    }

    /// Runs the model on rows from `source`. `observer` sees the tapped steps, or with `every` all of them.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when the source lacks rows, [`ErrorKind::Device`] when the device fails.
    pub fn run(
        &mut self,
        plan: &Plan<'_>,
        source: &mut impl Source,
        every: bool,
        observer: &mut impl Observer,
        targets: Targets<'_>,
    ) -> Result<(), Error> {
        self.load(plan, source)?;
        let mut done = 0;
        for step in 0..plan.steps() {
            if every || self.taps.binary_search(&step).is_ok() {
                self.backend.steps(done..step + 1)?;
                done = step + 1;
                self.show(plan, step, observer)?;
            }
        }
        if done == 0 {
            self.backend.frame(false)?;
        } else {
            self.rest(done..plan.steps())?;
            self.backend.end()?;
        }
        self.fetch(plan, targets)
    }

    /// Runs the model on rows from `source` and adds its taps to `features`.
    ///
    /// # Errors
    /// As [`Remote::run`].
    pub fn run_tapped(
        &mut self,
        plan: &Plan<'_>,
        source: &mut impl Source,
        features: &mut Features,
        kernels: &CpuKernels,
        targets: Targets<'_>,
    ) -> Result<(), Error> {
        if !self.on_device {
            return self.run(plan, source, false, &mut features.observe(kernels), targets);
        }
        self.load(plan, source)?;
        self.backend.frame(true)?;
        self.backend.read_taps(&mut self.words)?;
        features.add_words(&self.words);
        self.fetch(plan, targets)
    }

    /// Seconds that each step takes alone.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for other inputs than the model's, [`ErrorKind::Device`] when the device fails.
    pub fn time_steps(&mut self, plan: &Plan<'_>, inputs: &[&[u8]]) -> Result<Vec<f64>, Error> {
        for (input, codes) in inputs.iter().enumerate() {
            self.backend.load(input, codes)?;
        }
        let of = |step: usize| {
            time(|times| {
                (0..times).try_for_each(|_| self.backend.steps(step..step + 1))?;
                self.backend.wait()
            })
        };
        (0..plan.steps()).map(of).collect()
    }

    /// What the device does at most.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] when it fails.
    pub fn roofs(&mut self) -> Result<Option<Roofs>, Error> {
        self.backend.roofs()
    }

    fn load(&mut self, plan: &Plan<'_>, source: &mut impl Source) -> Result<(), Error> {
        for input in 0..plan.inputs() {
            let count = self.gather(plan.tensor(input)?.layout, input, source)?;
            self.backend.load(input, &self.codes[..count])?;
        }
        Ok(())
    }

    /// Brings output, class and confidence of a frame that has ended.
    fn fetch(&mut self, plan: &Plan<'_>, targets: Targets<'_>) -> Result<(), Error> {
        let layout = plan.tensor(plan.output())?.layout;
        let mut digest = TensorDigest::new(&layout);
        if self.keeps_output {
            self.backend.read_finding(targets.mask, targets.confidence, &mut [])?;
            self.backend.read_tensor(plan.output(), &mut self.tensor.as_mut_slice()[..layout.bytes()])?;
            digest.add(self.output(plan)?);
        } else {
            let bytes = layout.height * layout.width * layout.channels * layout.element.bytes();
            let values = &mut self.tensor.as_mut_slice()[..bytes];
            self.backend.read_finding(targets.mask, targets.confidence, values)?;
            digest.add_values(values);
        }
        *targets.digest = Some(digest);
        Ok(())
    }

    fn rest(&mut self, steps: Range<usize>) -> Result<(), Error> {
        if steps.is_empty() { Ok(()) } else { self.backend.steps(steps) }
    }

    /// Reads a step's output, unless another step adds to it, and shows it.
    fn show(&mut self, plan: &Plan<'_>, step: usize, observer: &mut impl Observer) -> Result<(), Error> {
        if !plan.is_last_writer(step) {
            return Ok(());
        }
        let tensor = plan.step(step)?.output;
        let layout = plan.tensor(tensor)?.layout;
        let bytes = &mut self.tensor.as_mut_slice()[..layout.bytes()];
        self.backend.read_tensor(tensor, bytes)?;
        observer.after_rows(step, tensor, Rows::whole(layout, bytes));
        Ok(())
    }

    /// Takes the planar codes of an input from a source that writes blocks; their number.
    fn gather(&mut self, layout: Layout, input: usize, source: &mut impl Source) -> Result<usize, Error> {
        for y in 0..layout.height {
            let row = &mut self.row[..layout.row_bytes()];
            if !source.load(input, RowsMut { layout, first: y, count: 1, data: row }) {
                return Err(Error::new(ErrorKind::Input, "the model was given fewer rows than it takes"));
            }
            for channel in 0..layout.channels {
                let start = (channel * layout.height + y) * layout.width;
                let target = &mut self.codes[start..start + layout.width];
                let blocks = &self.row[layout.offset_in_row(channel / BLOCK, 0)..];
                for (code, block) in target.iter_mut().zip(blocks.as_chunks::<BLOCK>().0) {
                    *code = block[channel % BLOCK];
                }
            }
        }
        Ok(layout.height * layout.width * layout.channels)
    }
}
