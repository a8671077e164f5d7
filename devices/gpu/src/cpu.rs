//! The work on Candle's CPU device: the plan's interpreter over the kernels of `candor-cpu`.

use crate::error::candle;
use crate::executor::Parts;
use crate::work::{Operation, Work};
use candle_core::{Result, bail};
use candor::ood::features::{Tap, every};
use candor_core::calibration;
use candor_core::interpreter::{load_input, run_step, tensor_rows};
use candor_core::kernels::Kernels;
use candor_core::plan::ALIGNMENT;
use candor_core::tensor::{Layout, Rows};
use std::ops::Range;

/// Bytes more than the arena that the storage must have: Candle aligns it as it likes.
pub const SPARE: usize = ALIGNMENT;

/// Carries out `operation` on the storage's aligned part.
pub fn perform(operation: &Operation<'_, '_, '_>, storage: &mut [u8]) -> Result<()> {
    let parts = operation.parts;
    let regions = &parts.program.regions;
    let start = storage.as_ptr().align_offset(ALIGNMENT);
    let Some(arena) = storage.get_mut(start..start + regions.bytes) else { bail!("the arena is too short") };
    match &operation.work {
        Work::Load { input, codes } => load_input(&parts.plan, arena, *input, codes).map_err(candle),
        Work::Steps(range) => steps(parts, range.clone(), false, arena),
        Work::End => end(parts, arena),
        Work::Frame { tapped } => {
            steps(parts, 0..parts.plan.steps(), *tapped, arena)?;
            end(parts, arena)
        }
        Work::Wait => Ok(()),
        #[cfg(feature = "cuda")]
        Work::Roof(_) => bail!("its roof is not measured here"),
        Work::Read(wanted) => {
            for part in wanted.borrow_mut().iter_mut() {
                part.into.copy_from_slice(&arena[part.from..][..part.into.len()]);
            }
            Ok(())
        }
    }
}

fn steps(parts: &Parts<'_>, steps: Range<usize>, tapped: bool, arena: &mut [u8]) -> Result<()> {
    for step in steps {
        run_step(&parts.plan, step, &parts.kernels, arena).map_err(candle)?;
        let mut start = parts.program.regions.taps.start;
        for tap in &parts.taps {
            if tapped && tap.place.step == step && tap.pixels > 0 {
                sum(parts, tap, start, arena)?;
            }
            start += 8 * tap.words();
        }
    }
    Ok(())
}

/// Sums a tapped output to byte `start` of the arena.
fn sum(parts: &Parts<'_>, tap: &Tap, start: usize, arena: &mut [u8]) -> Result<()> {
    let output = parts.plan.step(tap.place.step).map_err(|error| candle(error.into()))?.output;
    let (before, after) = arena.split_at_mut(parts.program.regions.taps.start);
    let rows = tensor_rows(&parts.plan, before, output).map_err(candle)?;
    let Some(rows) = every(rows, tap.place.every) else { return Ok(()) };
    let words = &mut after[start - parts.program.regions.taps.start..][..8 * tap.words()];
    let Ok(words) = bytemuck::try_cast_slice_mut(words) else { bail!("the arena is misaligned") };
    let (sums, products) = words.split_at_mut(2 * tap.channels);
    let sums = sums.as_chunks_mut().0;
    parts.kernels.channel_sums(rows, sums);
    let layout = Layout { channels: tap.spectrum(), ..rows.layout };
    parts.kernels.gram(Rows { layout, ..rows }, sums, products);
    Ok(())
}

/// Makes mask and confidence of the output and gathers its values.
fn end(parts: &Parts<'_>, arena: &mut [u8]) -> Result<()> {
    let regions = &parts.program.regions;
    let (before, after) = arena.split_at_mut(regions.output.start);
    let rows = tensor_rows(&parts.plan, before, parts.plan.output()).map_err(candle)?;
    gather(rows, &mut after[..regions.output.len()]);
    let Some((head, tables)) = &parts.head else { return Ok(()) };
    let (before, after) = arena.split_at_mut(regions.mask.start);
    let rows = tensor_rows(&parts.plan, before, parts.plan.output()).map_err(candle)?;
    let (mask, rest) = after.split_at_mut(regions.mask.len());
    let place = regions.confidence.start - regions.mask.end;
    let bytes = &mut rest[place..][..regions.confidence.len()];
    let Ok(confidence) = bytemuck::try_cast_slice_mut(bytes) else { bail!("the arena is misaligned") };
    calibration::apply(head, tables, rows, mask, confidence);
    calibration::finish(head, tables, rows.layout.width, 0, mask, confidence);
    Ok(())
}

/// Writes all values: rows, columns, channels.
fn gather(rows: Rows<'_>, values: &mut [u8]) {
    let layout = &rows.layout;
    let mut values = values.chunks_exact_mut(layout.element.bytes());
    for y in 0..layout.height {
        for x in 0..layout.width {
            for (channel, value) in (0..layout.channels).zip(values.by_ref()) {
                value.copy_from_slice(&rows.value(y, x, channel).to_le_bytes()[..value.len()]);
            }
        }
    }
}
