//! Writes packages: sections, digests, head tables and golden vectors.

pub mod writer;

use crate::lower::{HeadSpec, Lowered};
use candor::{Error, Session, StepDigests};
use candor_core::arithmetic::{Multiplier, Scale};
use candor_core::digest;
use candor_core::golden;
use candor_core::package::{Activation, INDEX_CENTRE, INDEX_COUNT, Preprocess, SOFTMAX_CENTRE, Section};
use writer::Sections;

/// Logit difference between neighbouring table indices: 4096 indices cover −16..16.
pub const INDEX_STEP: f32 = 1.0 / 128.0;
/// Seed of every golden input.
const GOLDEN_SEED: u32 = 1;

/// The head section of a lowered network.
pub fn head_section(head: &HeadSpec) -> Vec<u8> {
    let sigmoid = head.activation == Activation::Sigmoid;
    let from_codes = head.codes.is_some();
    let mut words = vec![
        u32::from(!sigmoid),
        head.channels as u32,
        u32::from(from_codes),
        u32::from(head.stripped),
        Scale::new(INDEX_STEP).to_bits(),
        0,
    ];
    let unit = head.codes.map_or(1.0, |(scale, _)| scale);
    let scales = head.accumulator_scales.clone().unwrap_or_else(|| vec![unit; head.channels]);
    words.extend(scales.iter().map(|s| s.to_bits()));
    let mut bytes: Vec<u8> = Vec::new();
    if let Some((scale, zero_point)) = head.codes {
        bytes.extend(words.iter().flat_map(|w| w.to_le_bytes()));
        for code in 0..256 {
            let logit = (code as f32 - f32::from(zero_point)) * scale;
            let index = if sigmoid { index_of(logit) } else { softmax_index_of(logit) };
            bytes.extend(index.to_le_bytes());
        }
    } else {
        words.extend(scales.iter().map(|s| Multiplier::new(s / INDEX_STEP).to_bits()));
        bytes.extend(words.iter().flat_map(|w| w.to_le_bytes()));
    }
    let table = if sigmoid { sigmoid_table() } else { exponential_table() };
    bytes.extend(table.iter().flat_map(|p| p.to_le_bytes()));
    bytes
}

/// The index of a softmax logit, of which only differences count.
fn softmax_index_of(logit: f32) -> u16 {
    let index = (logit / INDEX_STEP).round_ties_even() + SOFTMAX_CENTRE as f32;
    index.clamp(0.0, f32::from(u16::MAX)) as u16
}

/// The table index nearest to a logit under a sigmoid.
pub fn index_of(logit: f32) -> u16 {
    let index = (logit / INDEX_STEP).round_ties_even() + INDEX_CENTRE as f32;
    index.clamp(0.0, INDEX_COUNT as f32 - 1.0) as u16
}

/// The logit of a table index.
pub fn logit_of(index: usize) -> f64 {
    (index as f64 - f64::from(INDEX_CENTRE)) * f64::from(INDEX_STEP)
}

/// The logistic of every index's logit in 1/65535, kept within 1..=65534.
pub fn sigmoid_table() -> Vec<u16> {
    let probability = |index| 1.0 / (1.0 + (-logit_of(index)).exp());
    (0..INDEX_COUNT).map(|i| (probability(i) * 65535.0).round().clamp(1.0, 65534.0) as u16).collect()
}

/// `e^logit` in 1/65535 for every index up to the centre (the greatest logit's own), at least 1 so that
/// every class keeps some probability.
pub fn exponential_table() -> Vec<u16> {
    let weight = |index| (logit_of(index).min(0.0).exp() * 65535.0).round().clamp(1.0, 65535.0) as u16;
    (0..INDEX_COUNT).map(weight).collect()
}

/// What a package is made of besides the lowered network.
#[derive(Debug, Clone)]
pub struct Description {
    /// Name of the model.
    pub name: String,
    /// Where it came from: file name, digest, producer; plain text.
    pub source: String,
    /// How frames become codes.
    pub preprocess: Preprocess,
    /// Class names in class order.
    pub classes: Vec<String>,
    /// Model card, Markdown; may be empty.
    pub card: String,
}

/// The sections of an uncalibrated package.
pub fn sections(lowered: &Lowered, description: &Description) -> Sections {
    let mut sections = Sections::default();
    let model = format!("{}\n{}\n", description.name, description.source);
    sections.set(Section::Model, model.into_bytes());
    sections.set(Section::Plan, lowered.plan.clone());
    sections.set(Section::Weights, lowered.weights.clone());
    let preprocess = description.preprocess.to_words();
    sections.set(Section::Preprocess, preprocess.iter().flat_map(|w| w.to_le_bytes()).collect());
    sections.set(Section::Head, head_section(&lowered.head));
    sections.set(Section::Classes, description.classes.join("\n").into_bytes());
    if !description.card.is_empty() {
        sections.set(Section::Card, description.card.clone().into_bytes());
    }
    sections
}

/// The golden section of a package, computed by the session's kernels.
///
/// # Errors
/// Those of a run.
pub fn golden_section(session: &mut Session<'_>) -> Result<Vec<u8>, Error> {
    let plan = *session.plan();
    let mut inputs: Vec<Vec<u8>> = Vec::new();
    for input in 0..plan.inputs() {
        let layout = plan.tensor(input)?.layout;
        let count = layout.height * layout.width * layout.channels;
        inputs.push((0..count).map(|i| golden::input_code(GOLDEN_SEED, i, layout.width)).collect());
    }
    let slices: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let mut digests = StepDigests::new(&plan)?;
    session.run_codes(&slices, &mut digests)?;
    let (steps, output) = digests.finish();
    let header = [1, GOLDEN_SEED, steps.len() as u32, 0];
    let mut bytes: Vec<u8> = header.iter().flat_map(|w: &u32| w.to_le_bytes()).collect();
    bytes.extend(output.unwrap_or_default());
    bytes.extend(steps.iter().flat_map(|digest| digest.map_or(0, digest::short).to_le_bytes()));
    Ok(bytes)
}

#[cfg(test)]
mod tests;
