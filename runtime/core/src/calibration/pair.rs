//! Two classes under one table: a pixel's confidence is a table's entry for how far its logits lie apart.

use super::Tables;
use super::rows::{Row, SPAN, entry};
use crate::arithmetic::share;
use crate::package::{Activation, Head, HeadCodes, INDEX_CENTRE, INDEX_COUNT};
use crate::tensor::{BLOCK, Element, Rows};

/// Entry for the greatest distance that a table tells from greater ones.
const FARTHEST: u32 = INDEX_CENTRE as u32;

/// The confidence of a two-class softmax in 1/65535 by the distance of its logit indices: what
/// [`super::apply`] works out for each pixel, worked out once.
#[derive(Debug, Clone)]
pub struct PairTable([u16; INDEX_COUNT]);

impl PairTable {
    /// None unless the head is a softmax of two classes under one table.
    pub fn new(head: &Head<'_>, tables: &Tables<'_>) -> Option<Self> {
        let weights = tables.base.first_chunk::<INDEX_COUNT>()?;
        if head.activation != Activation::Softmax || head.channels != 2 || !tables.per_class.is_empty() {
            return None;
        }
        let own = weights[entry(0)];
        Some(Self(core::array::from_fn(|distance| {
            share(own, u32::from(own) + u32::from(weights[entry(-(distance as i32))]))
        })))
    }

    /// As [`super::apply`], of which this is the fast form: the same bytes.
    pub fn apply(&self, head: &Head<'_>, output: Rows<'_>, mask: &mut [u8], confidence: &mut [u16]) {
        let (layout, rows) = (&output.layout, output.image_rows());
        let targets = mask.chunks_mut(layout.width).zip(confidence.chunks_mut(layout.width));
        for (y, (labels, values)) in rows.zip(targets) {
            let bytes = output.row(y);
            match (layout.element, head.codes) {
                (Element::Code, HeadCodes::Table(table)) => {
                    let pixels = bytes[layout.offset_in_row(0, 0)..].as_chunks::<BLOCK>().0;
                    let Some(indices) = table.first_chunk::<256>() else { return };
                    for ((label, value), pixel) in labels.iter_mut().zip(values).zip(pixels) {
                        (*label, *value) =
                            self.of([pixel[0], pixel[1]].map(|code| indices[usize::from(code)].into()));
                    }
                }
                _ => self.spans(&Row { head, layout, bytes }, labels, values),
            }
        }
    }

    /// One row of accumulators.
    fn spans(&self, row: &Row<'_>, labels: &mut [u8], values: &mut [u16]) {
        let (mut first, mut second) = ([0; SPAN], [0; SPAN]);
        for (index, (labels, values)) in labels.chunks_mut(SPAN).zip(values.chunks_mut(SPAN)).enumerate() {
            row.indices(0, index * SPAN, labels.len(), &mut first);
            row.indices(1, index * SPAN, labels.len(), &mut second);
            let pixels = labels.iter_mut().zip(values).zip(first.iter().zip(&second));
            for ((label, value), (&first, &second)) in pixels {
                (*label, *value) = self.of([first, second]);
            }
        }
    }

    /// Label and confidence of one pixel.
    #[inline(always)]
    fn of(&self, [first, second]: [i32; 2]) -> (u8, u16) {
        (u8::from(second > first), self.0[second.abs_diff(first).min(FARTHEST) as usize])
    }
}
