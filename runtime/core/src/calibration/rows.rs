//! Labels and probabilities of output rows, some neighbouring pixels at a time.

use super::{CERTAIN, Tables};
use crate::arithmetic::share;
use crate::package::{Activation, Head, INDEX_CENTRE, INDEX_COUNT};
use crate::tensor::{BLOCK, Element, Layout, Rows};

/// Pixels handled together by loops of constant length.
pub(super) const SPAN: usize = 32;
/// Greatest difference above the centre of a table.
const ABOVE: i32 = INDEX_COUNT as i32 - 1 - INDEX_CENTRE;

/// A table by index; shorter ones are refused, so that no entry needs a check.
pub(super) type Table = [u16; INDEX_COUNT];

/// One row of the output and what its values mean.
pub(super) struct Row<'a> {
    pub head: &'a Head<'a>,
    pub layout: &'a Layout,
    pub bytes: &'a [u8],
}

impl Row<'_> {
    /// The logit indices of `channel` at `count` columns from `start` on; those beyond are of no meaning.
    ///
    /// They are i32 as processors without instructions for u16 compare and choose them best.
    #[inline]
    pub fn indices(&self, channel: usize, start: usize, count: usize, values: &mut [i32; SPAN]) {
        let bytes = &self.bytes[self.layout.offset_in_row(channel / BLOCK, start)..];
        let lane = channel % BLOCK;
        let targets = values.iter_mut().take(count);
        match self.layout.element {
            Element::Code => {
                for (value, pixel) in targets.zip(bytes.as_chunks::<BLOCK>().0) {
                    *value = i32::from(pixel[lane]);
                }
            }
            Element::Accumulator => {
                for (value, pixel) in targets.zip(bytes.as_chunks::<4>().0.chunks_exact(BLOCK)) {
                    *value = i32::from_le_bytes(pixel[lane]);
                }
            }
        }
        self.head.indices(channel, values);
    }
}

/// Labels and confidence of the image rows that `output` holds, a sigmoid's indices instead of confidence;
/// the slices are those of these rows.
pub(super) fn apply(
    head: &Head<'_>,
    tables: &Tables<'_>,
    output: Rows<'_>,
    mask: &mut [u8],
    confidence: &mut [u16],
) {
    let (layout, first) = (&output.layout, output.image_rows().start);
    let rows = mask.chunks_mut(layout.width).zip(confidence.chunks_mut(layout.width));
    for (y, (labels, values)) in rows.enumerate() {
        let row = Row { head, layout, bytes: output.row(first + y) };
        let spans = labels.chunks_mut(SPAN).zip(values.chunks_mut(SPAN));
        for (index, (labels, values)) in spans.enumerate() {
            match head.activation {
                Activation::Sigmoid => sigmoid(&row, index * SPAN, labels, values),
                Activation::Softmax => softmax(&row, tables, index * SPAN, labels, values),
            }
        }
    }
}

/// The label of a sigmoid is its logit's sign.
fn sigmoid(row: &Row<'_>, start: usize, labels: &mut [u8], values: &mut [u16]) {
    let mut indices = [0; SPAN];
    row.indices(0, start, labels.len(), &mut indices);
    for ((label, value), index) in labels.iter_mut().zip(values).zip(indices) {
        (*label, *value) = (u8::from(index > INDEX_CENTRE), index as u16);
    }
}

/// The probability that `label` is right when `table` gives that of label 1.
#[inline]
pub(super) fn of_label(table: &Table, index: u16, label: u8) -> u16 {
    let foreground = table[usize::from(index) % INDEX_COUNT];
    if label == 0 { CERTAIN - foreground } else { foreground }
}

/// The class of the greatest index, the first on ties, and the two greatest indices.
struct Leaders {
    class: [i32; SPAN],
    greatest: [i32; SPAN],
    second: [i32; SPAN],
}

impl Leaders {
    fn new(row: &Row<'_>, start: usize, count: usize) -> Self {
        let mut leaders = Self { class: [0; SPAN], greatest: [0; SPAN], second: [0; SPAN] };
        row.indices(0, start, count, &mut leaders.greatest);
        let mut indices = [0; SPAN];
        for class in 1..row.head.channels {
            row.indices(class, start, count, &mut indices);
            for (at, &index) in indices.iter().enumerate() {
                let greatest = leaders.greatest[at];
                leaders.second[at] = leaders.second[at].max(index.min(greatest));
                leaders.greatest[at] = greatest.max(index);
                leaders.class[at] = if index > greatest { class as i32 } else { leaders.class[at] };
            }
        }
        leaders
    }
}

/// Greatest logit and its share of the weights.
fn softmax(row: &Row<'_>, tables: &Tables<'_>, start: usize, labels: &mut [u8], values: &mut [u16]) {
    match (row.head.channels, tables.base.first_chunk::<INDEX_COUNT>()) {
        (2, Some(table)) if tables.per_class.is_empty() => few::<2>(row, table, start, labels, values),
        (3, Some(table)) if tables.per_class.is_empty() => few::<3>(row, table, start, labels, values),
        (4, Some(table)) if tables.per_class.is_empty() => few::<4>(row, table, start, labels, values),
        _ => many(row, tables, start, labels, values),
    }
}

/// A few classes under one table, pixel by pixel.
fn few<const CLASSES: usize>(
    row: &Row<'_>,
    table: &Table,
    start: usize,
    labels: &mut [u8],
    values: &mut [u16],
) {
    let mut indices = [[0; SPAN]; CLASSES];
    for (class, indices) in indices.iter_mut().enumerate() {
        row.indices(class, start, labels.len(), indices);
    }
    let own = table[entry(0)];
    let mut totals = [0; SPAN];
    for (at, (label, total)) in labels.iter_mut().zip(&mut totals).enumerate() {
        let (mut class, mut greatest) = (0, indices[0][at]);
        for (other, indices) in indices.iter().enumerate().skip(1) {
            class = if indices[at] > greatest { other } else { class };
            greatest = greatest.max(indices[at]);
        }
        *label = class as u8;
        *total = indices.iter().map(|indices| u32::from(table[entry(indices[at] - greatest)])).sum();
    }
    for (value, total) in values.iter_mut().zip(totals) {
        *value = share(own, total);
    }
}

/// Any number of classes and tables.
fn many(row: &Row<'_>, tables: &Tables<'_>, start: usize, labels: &mut [u8], values: &mut [u16]) {
    let leaders = Leaders::new(row, start, labels.len());
    for (label, &class) in labels.iter_mut().zip(&leaders.class) {
        *label = class as u8;
    }
    shares(row, tables, &leaders, start, values);
}

/// The entry for a difference of indices.
pub(super) fn entry(difference: i32) -> usize {
    (INDEX_CENTRE + difference.clamp(-INDEX_CENTRE, ABOVE)) as usize % INDEX_COUNT
}

/// Each weight by its class's table and its distance to the greatest other index, or
/// by the one table and its distance to the greatest.
fn shares(row: &Row<'_>, tables: &Tables<'_>, leaders: &Leaders, start: usize, values: &mut [u16]) {
    let per_class = !tables.per_class.is_empty();
    let (mut own, mut totals) = ([0u16; SPAN], [0u32; SPAN]);
    let mut indices = [0; SPAN];
    for class in 0..row.head.channels {
        row.indices(class, start, values.len(), &mut indices);
        let table = if per_class { &tables.per_class[class * INDEX_COUNT..] } else { tables.base };
        let Some(table) = table.first_chunk::<INDEX_COUNT>() else { return };
        for at in 0..values.len() {
            let is_label = class as i32 == leaders.class[at];
            let rival = if per_class && is_label { leaders.second[at] } else { leaders.greatest[at] };
            let weight = table[entry(indices[at] - rival)];
            totals[at] += u32::from(weight);
            own[at] = if is_label { weight } else { own[at] };
        }
    }
    for (value, (own, total)) in values.iter_mut().zip(own.into_iter().zip(totals)) {
        *value = share(own, total);
    }
}
