//! The order of a dense filter's weights: sixteen output channels together, each with rows of up to sixteen
//! words.
//!
//! A word is four weights, those of one tap for a block of four input channels. The words of an output
//! channel, in the order (tap row, input block, tap column), are cut into chunks of equal width; a chunk
//! holds one row of words per output channel. That is what a matrix tile, a broadcast word and a register of
//! sixteen consecutive weights can all be read from in place.

use super::record::Fault;
use crate::tensor::BLOCK;

/// Output channels to which a filter's constants are padded.
pub const OUTPUT_BLOCK: usize = 8;
/// Output channels whose weights are stored together; the last group may be a single [`OUTPUT_BLOCK`].
pub const GROUP: usize = 16;
/// Most words of a row.
pub const WORDS: usize = 16;
/// A row is a multiple of this many words.
const WORDS_STEP: usize = 4;

/// The order of the weights of one dense filter, or of one phase of a transposed one:
/// `[O/16][chunk][16][width][4]`, zero in words beyond the last and channels that do not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Taps (h, w).
    pub taps: [usize; 2],
    /// Input channel blocks.
    pub blocks: usize,
    /// Chunks per group of output channels.
    pub chunks: usize,
    /// Words per row: 4, 8, 12 or 16.
    pub width: usize,
}

impl Order {
    /// The order for `taps` (h, w) over `blocks` input blocks; without taps there are no chunks.
    pub const fn new(taps: [usize; 2], blocks: usize) -> Self {
        let words = taps[0] * taps[1] * blocks;
        let chunks = words.div_ceil(WORDS);
        let width = if chunks == 0 { WORDS_STEP } else { words.div_ceil(chunks) };
        Self { taps, blocks, chunks, width: width.next_multiple_of(WORDS_STEP) }
    }

    /// Words of an output channel that carry weights.
    pub const fn words(&self) -> usize {
        self.taps[0] * self.taps[1] * self.blocks
    }

    /// Weights stored per output channel, padding included.
    pub const fn weights(&self) -> usize {
        self.chunks * self.width * BLOCK
    }

    /// Rows per chunk of the group that holds output channel `o`, of `outputs` (a multiple of
    /// [`OUTPUT_BLOCK`]).
    pub const fn rows(outputs: usize, o: usize) -> usize {
        let left = outputs - o / GROUP * GROUP;
        if left < GROUP { left } else { GROUP }
    }

    /// Index of the first weight of word `word` of output channel `o`, of `outputs`.
    #[inline(always)]
    pub const fn word(&self, outputs: usize, o: usize, word: usize) -> usize {
        let group = o / GROUP * GROUP * self.weights();
        let row = word / self.width * Self::rows(outputs, o) + o % GROUP;
        group + (row * self.width + word % self.width) * BLOCK
    }

    /// Index of the weight for (output channel `o` of `outputs`, tap row, input channel, tap column).
    #[inline(always)]
    pub const fn index(&self, outputs: usize, o: usize, ky: usize, c: usize, kx: usize) -> usize {
        let word = (ky * self.blocks + c / BLOCK) * self.taps[1] + kx;
        self.word(outputs, o, word) + c % BLOCK
    }

    /// Checks what every tier relies on: `weights` are zero where one of the `channels` (input, output) does
    /// not exist and beyond the last word, and `sums` are their sums per output channel.
    ///
    /// # Errors
    /// [`Fault::ConstantValue`] otherwise.
    pub(super) fn check(&self, weights: &[i8], sums: &[i32], channels: [usize; 2]) -> Result<(), Fault> {
        let mut rest = weights;
        for (group, sums) in sums.chunks(GROUP).enumerate() {
            let mut totals = [0; GROUP];
            for (chunk, row) in (0..self.chunks).flat_map(|chunk| (0..sums.len()).map(move |o| (chunk, o))) {
                let split = rest.split_at_checked(self.width * BLOCK);
                let (words, after) = split.ok_or(Fault::ConstantValue)?;
                rest = after;
                for (at, lanes) in words.chunks_exact(BLOCK).enumerate() {
                    let exists = group * GROUP + row < channels[1];
                    let lanes_in_use =
                        if exists { self.lanes(chunk * self.width + at, channels[0]) } else { 0 };
                    if lanes[lanes_in_use..].iter().any(|&weight| weight != 0) {
                        return Err(Fault::ConstantValue);
                    }
                    totals[row] += lanes.iter().map(|&weight| i32::from(weight)).sum::<i32>();
                }
            }
            if sums != &totals[..sums.len()] {
                return Err(Fault::ConstantValue);
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(Fault::ConstantValue) }
    }

    /// Lanes of word `word` that stand for one of the `inputs` channels.
    const fn lanes(&self, word: usize, inputs: usize) -> usize {
        let partial = inputs % BLOCK;
        if word >= self.words() {
            0
        } else if partial > 0 && word / self.taps[1] % self.blocks == self.blocks - 1 {
            partial
        } else {
            BLOCK
        }
    }
}
