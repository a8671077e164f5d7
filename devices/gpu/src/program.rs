//! A whole plan as launches over one arena, with the places of everything in it.

use crate::constants::Constants;
use crate::lower::{lower, row_products_bytes, stored_grid, tap, tapped};
use crate::step::{Kernel, Launch, Step, View};
use candor::ood::features::Tap;
use candor_core::calibration::Tables;
use candor_core::interpreter::RunError;
use candor_core::ops::Op;
use candor_core::ops::group_norm::Affine;
use candor_core::package::{Activation, Head, HeadCodes, INDEX_CENTRE, INDEX_COUNT, SOFTMAX_CENTRE};
use candor_core::plan::{Plan, PlanError};
use std::ops::Range;

/// Alignment of the regions of the arena.
const ALIGNMENT: usize = 256;

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Item {
    /// On the device.
    Launch(Launch),
    /// On the device, in frames whose taps are wanted.
    Tap(Launch),
    /// Slopes and offsets of the group normalisation in a step, from the channel sums.
    ///
    /// They take 128-bit integers and f64, which not every device has: where it lacks them, the host makes
    /// them.
    Coefficients {
        /// The step.
        step: usize,
        /// On the device.
        launch: Launch,
    },
}

/// What the arena holds behind the plan's own bytes; all are offsets in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Regions {
    /// Planar codes of every input, as they come from the host.
    pub inputs: Vec<Range<usize>>,
    /// Sums of the rows of a tensor.
    pub row_sums: u32,
    /// Σv and Σv² of every channel, `[C][2]` 64-bit numbers.
    pub channel_sums: u32,
    /// Slope and offset of every channel, `[C][2]` floats.
    pub affine: u32,
    /// Greatest number of channels that are summed.
    pub channels: usize,
    /// Products of the rows of a tapped tensor.
    pub row_products: u32,
    /// What is summed of the taps in order, 64-bit numbers: `[C][2]` Σv and Σv², then Σ v_i·v_j for j ≤ i of
    /// the channels of its spectrum.
    pub taps: Range<usize>,
    /// Class of every pixel; empty without a head.
    pub mask: Range<usize>,
    /// Confidence of every pixel, 16 bits each; empty without a head.
    pub confidence: Range<usize>,
    /// Values of the output as digests take them: rows, columns, channels; codes in one byte, accumulators in
    /// four.
    pub output: Range<usize>,
    /// All bytes of the arena.
    pub bytes: usize,
}

/// A plan made ready for a device.
#[derive(Debug)]
pub struct Program {
    /// What every kernel reads and none writes.
    pub constants: Vec<u8>,
    /// Places in the arena.
    pub regions: Regions,
    /// Everything of a frame, in order: inputs, steps, head.
    pub items: Vec<Item>,
    /// Items of every step.
    pub steps: Vec<Range<usize>>,
}

impl Program {
    /// Lowers `plan`, and the head when it is given; frames can sum the outputs at `taps`.
    ///
    /// # Errors
    /// [`PlanError`]; never for a plan that was parsed.
    pub fn new(
        plan: &Plan<'_>,
        head: Option<(&Head<'_>, &Tables<'_>)>,
        taps: &[Tap],
    ) -> Result<Self, PlanError> {
        let regions = Regions::new(plan, head.is_some(), taps)?;
        let (mut constants, mut items) = (Constants::default(), Vec::new());
        for (input, codes) in regions.inputs.iter().enumerate() {
            let output = View::new(&plan.tensor(input)?);
            let step = Step { output, from: codes.start as u32, ..Step::default() };
            items.push(Item::Launch(Launch { kernel: Kernel::Load, grid: stored_grid(&output), step }));
        }
        let mut steps = Vec::with_capacity(plan.steps());
        for index in 0..plan.steps() {
            let step = plan.step(index)?;
            let views = Step {
                input: View::new(&plan.tensor(step.inputs[0])?),
                second: View::new(&plan.tensor(step.inputs[1])?),
                output: View::new(&plan.tensor(step.output)?),
                ..Step::default()
            };
            let start = items.len();
            lower(&step.op, index, views, &regions, &mut constants, &mut items);
            let mut to = regions.taps.start;
            for own in taps {
                if own.place.step == index && own.pixels > 0 {
                    tap(own, views.output, to as u32, &regions, &mut items);
                }
                to += 8 * own.words();
            }
            steps.push(start..items.len());
        }
        let step = Step { input: View::new(&plan.tensor(plan.output())?), ..Step::default() };
        if let Some((head, tables)) = head {
            end(head, tables, step, &regions, &mut constants, &mut items);
        }
        items.push(Item::Launch(output_values(step, &regions)));
        Ok(Self { constants: constants.into_bytes(), regions, items, steps })
    }

    /// Items of steps; the first brings the loading of the inputs with it.
    pub fn items_of(&self, steps: &Range<usize>) -> Range<usize> {
        let start = if steps.start == 0 { 0 } else { self.steps[steps.start].start };
        start..self.steps[..steps.end].last().map_or(start, |items| items.end)
    }

    /// Items that make mask and confidence and gather the output's values.
    pub fn end(&self) -> Range<usize> {
        self.steps.last().map_or(0, |items| items.end)..self.items.len()
    }

    /// Bytes of device memory it takes.
    pub fn bytes(&self) -> usize {
        self.regions.bytes + self.constants.len()
    }
}

/// Channels that step `step` normalises.
///
/// # Errors
/// [`RunError::Plan`] when there is no such step.
pub fn normalised(plan: &Plan<'_>, step: usize) -> Result<usize, RunError> {
    Ok(plan.tensor(plan.step(step)?.inputs[0])?.layout.channels)
}

/// Slope and offset of every channel that step `step` normalises, from Σv and Σv² over the image.
///
/// # Errors
/// [`RunError`] when the step is no normalisation.
pub fn coefficients(
    plan: &Plan<'_>,
    step: usize,
    sums: &[[u64; 2]],
    affine: &mut [Affine],
) -> Result<(), RunError> {
    let step = plan.step(step)?;
    let layout = plan.tensor(step.inputs[0])?.layout;
    let Op::GroupNorm(op) = step.op else { return Err(RunError::Input) };
    op.coefficients(sums, (layout.height * layout.width) as u64, affine);
    Ok(())
}

impl Regions {
    fn new(plan: &Plan<'_>, has_head: bool, taps: &[Tap]) -> Result<Self, PlanError> {
        let mut regions = Self { bytes: plan.arena_bytes(), ..Self::default() };
        for input in 0..plan.inputs() {
            let layout = plan.tensor(input)?.layout;
            let codes = regions.take(layout.height * layout.width * layout.channels);
            regions.inputs.push(codes);
        }
        let mut row_sums = 0;
        for index in 0..plan.steps() {
            let step = plan.step(index)?;
            if matches!(step.op, Op::GlobalAverage(_) | Op::GroupNorm(_)) {
                let layout = plan.tensor(step.inputs[0])?.layout;
                row_sums = row_sums.max(layout.height * layout.channels * 8);
                regions.channels = regions.channels.max(layout.channels);
            }
        }
        let mut row_products = 0;
        for tap in taps {
            let view = tapped(tap, View::new(&plan.tensor(plan.step(tap.place.step)?.output)?));
            row_sums = row_sums.max((view.height * view.channels * 8) as usize);
            regions.channels = regions.channels.max(tap.channels);
            row_products = row_products.max(row_products_bytes(tap, &view));
        }
        regions.row_products = regions.take(row_products).start as u32;
        regions.taps = regions.take(8 * taps.iter().map(Tap::words).sum::<usize>());
        regions.row_sums = regions.take(row_sums).start as u32;
        regions.channel_sums = regions.take(regions.channels * 16).start as u32;
        regions.affine = regions.take(regions.channels * 8).start as u32;
        let layout = plan.tensor(plan.output())?.layout;
        let pixels = layout.height * layout.width;
        if has_head {
            regions.mask = regions.take(pixels);
            regions.confidence = regions.take(pixels * 2);
        }
        regions.output = regions.take(pixels * layout.channels * layout.element.bytes());
        Ok(regions)
    }

    /// The next `bytes` bytes.
    fn take(&mut self, bytes: usize) -> Range<usize> {
        let start = self.bytes.next_multiple_of(ALIGNMENT);
        self.bytes = start + bytes;
        start..self.bytes
    }
}

/// The launch that gathers the values of the output.
fn output_values(step: Step, regions: &Regions) -> Launch {
    let grid = [step.input.width, step.input.height, step.input.blocks()];
    Launch { kernel: Kernel::OutputValues, grid, step: Step { to: regions.output.start as u32, ..step } }
}

/// Appends the launches that make mask and confidence of the output.
fn end(
    head: &Head<'_>,
    tables: &Tables<'_>,
    step: Step,
    regions: &Regions,
    constants: &mut Constants,
    items: &mut Vec<Item>,
) {
    let (zero_point, high) = match head.activation {
        Activation::Sigmoid => (INDEX_CENTRE, INDEX_COUNT as i32 - 1),
        Activation::Softmax => (SOFTMAX_CENTRE, i32::from(u16::MAX)),
    };
    let (rows, multipliers, flag) = match head.codes {
        HeadCodes::Accumulators(multipliers) => (0, constants.push(multipliers), 0),
        HeadCodes::Table(table) => (constants.push(table), 0, 1),
    };
    let more = tables.boundary.or((!tables.per_class.is_empty()).then_some(tables.per_class));
    let step = Step {
        rows,
        multipliers,
        flag,
        weights: constants.push(tables.base),
        bias: more.map_or(0, |tables| constants.push(tables)),
        to: u32::from(more.is_some()),
        from: regions.mask.start as u32,
        scratch: regions.confidence.start as u32,
        zero_point,
        bounds: [0, high],
        ..step
    };
    let grid = [step.input.width, step.input.height, 1];
    items.push(Item::Launch(Launch { kernel: Kernel::Labels, grid, step }));
    if head.activation == Activation::Sigmoid {
        items.push(Item::Launch(Launch { kernel: Kernel::Confidence, grid, step }));
    }
}
