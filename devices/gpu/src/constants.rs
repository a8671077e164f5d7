//! The constants of a plan as the kernels read them: one block of bytes, uploaded once.

use bytemuck::Pod;
use candor_core::ops::order::{OUTPUT_BLOCK, Order};
use candor_core::tensor::BLOCK;

/// Alignment of every array.
const ALIGNMENT: usize = 16;

/// Arrays one after the other, each aligned to 16 bytes.
#[derive(Debug, Default)]
pub struct Constants {
    bytes: Vec<u8>,
}

impl Constants {
    /// Appends an array and says at which byte it begins.
    pub fn push<T: Pod>(&mut self, values: &[T]) -> u32 {
        self.align();
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytemuck::cast_slice(values));
        start
    }

    /// Appends the weights of a dense filter as `[O/8][tap row][input block][tap column][8][4]`: the weights
    /// that one word of codes meets in eight output channels lie together.
    pub fn push_filter(&mut self, order: Order, outputs: usize, weights: &[i8]) -> u32 {
        self.align();
        let start = self.bytes.len() as u32;
        for group in (0..outputs).step_by(OUTPUT_BLOCK) {
            for word in 0..order.words() {
                for o in group..group + OUTPUT_BLOCK {
                    let at = order.word(outputs, o, word);
                    self.bytes.extend_from_slice(bytemuck::cast_slice(&weights[at..at + BLOCK]));
                }
            }
        }
        start
    }

    /// All of it.
    pub fn into_bytes(mut self) -> Vec<u8> {
        // No device allocates nothing at all.
        self.bytes.resize(self.bytes.len().max(ALIGNMENT), 0);
        self.bytes
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }
}
