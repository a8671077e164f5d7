//! How an activation tensor lies in the arena, and checked views of its rows.
//!
//! Layout `[rows][blocks][columns][4]`: channels in blocks of four, a row holds all its blocks, and a halo
//! of zero points surrounds the image so that no kernel treats edges specially. Rows are contiguous, which
//! lets threads, strips and row streaming split a tensor with `split_at_mut`.

/// Channels per block.
pub const BLOCK: usize = 4;

/// Padding rows and columns kept around a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Halo {
    /// Rows above the image.
    pub top: usize,
    /// Columns left of the image.
    pub left: usize,
    /// Rows below the image.
    pub bottom: usize,
    /// Columns right of the image.
    pub right: usize,
}

/// Element type of a stored tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// Quantized activation, one byte per code.
    Code,
    /// 32-bit accumulator of the head.
    Accumulator,
}

impl Element {
    /// Bytes per element.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Code => 1,
            Self::Accumulator => 4,
        }
    }
}

/// Extents and strides of a tensor; all sizes were checked when the plan was read, so products do not
/// overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Image rows.
    pub height: usize,
    /// Image columns.
    pub width: usize,
    /// Channels; stored blocks are rounded up to four.
    pub channels: usize,
    /// Surrounding padding.
    pub halo: Halo,
    /// Bytes from one stored row to the next.
    pub row_stride: usize,
    /// Element type.
    pub element: Element,
}

impl Layout {
    /// A layout whose rows follow each other without gap.
    pub fn packed(height: usize, width: usize, channels: usize, halo: Halo, element: Element) -> Self {
        let mut layout = Self { height, width, channels, halo, row_stride: 0, element };
        layout.row_stride = layout.row_bytes();
        layout
    }

    /// Blocks of four channels.
    pub const fn blocks(&self) -> usize {
        self.channels.div_ceil(BLOCK)
    }

    /// Columns stored per row and block, halo included.
    pub const fn stored_width(&self) -> usize {
        self.halo.left + self.width + self.halo.right
    }

    /// Rows stored, halo included.
    pub const fn stored_rows(&self) -> usize {
        self.halo.top + self.height + self.halo.bottom
    }

    /// Bytes from one block of a row to the next.
    pub const fn block_stride(&self) -> usize {
        self.stored_width() * BLOCK * self.element.bytes()
    }

    /// Bytes one row occupies.
    pub const fn row_bytes(&self) -> usize {
        self.block_stride() * self.blocks()
    }

    /// Bytes from the first to the last stored byte.
    pub const fn bytes(&self) -> usize {
        (self.stored_rows() - 1) * self.row_stride + self.row_bytes()
    }

    /// Byte offset of channel block `block` at image column `column` within a stored row; the column may
    /// reach into the halo by wrapping arithmetic on `column + halo.left`.
    pub const fn offset_in_row(&self, block: usize, column: usize) -> usize {
        block * self.block_stride() + (self.halo.left + column) * BLOCK * self.element.bytes()
    }
}

/// Some or all stored rows of a tensor, readable, halo included.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Layout of the whole tensor.
    pub layout: Layout,
    /// Stored row, counted from the halo's top, at which `data` begins.
    pub origin: usize,
    /// Bytes from the start of stored row `origin`; ends with a row.
    pub data: &'a [u8],
}

impl<'a> Rows<'a> {
    /// All stored rows of a tensor in `data` (`layout.bytes()` bytes).
    pub const fn whole(layout: Layout, data: &'a [u8]) -> Self {
        Self { layout, origin: 0, data }
    }

    /// Stored rows that `data` holds, from `origin` on.
    pub const fn present(&self) -> core::ops::Range<usize> {
        let rows = match self.data.len().checked_sub(self.layout.row_bytes()) {
            Some(rest) => rest / self.layout.row_stride + 1,
            None => 0,
        };
        self.origin..self.origin + rows
    }

    /// Image rows that `data` holds.
    pub const fn image_rows(&self) -> core::ops::Range<usize> {
        let (top, present) = (self.layout.halo.top, self.present());
        let first = present.start.saturating_sub(top);
        let end = present.end.saturating_sub(top);
        first..if end < self.layout.height { end } else { self.layout.height }
    }

    /// The code at stored row `row`, stored column `column` (both counted from the halo's corner) and
    /// `channel`.
    #[inline(always)]
    pub fn stored(&self, row: usize, column: usize, channel: usize) -> u8 {
        let block = channel / BLOCK * self.layout.block_stride();
        self.data[(row - self.origin) * self.layout.row_stride + block + column * BLOCK + channel % BLOCK]
    }

    /// The code at image position (`row`, `column`) of `channel`.
    #[inline(always)]
    pub fn code(&self, row: usize, column: usize, channel: usize) -> u8 {
        self.stored(row + self.layout.halo.top, column + self.layout.halo.left, channel)
    }

    /// The accumulator at image position (`row`, `column`) of `channel`.
    pub fn accumulator(&self, row: usize, column: usize, channel: usize) -> i32 {
        let at = (row + self.layout.halo.top - self.origin) * self.layout.row_stride
            + self.layout.offset_in_row(channel / BLOCK, column)
            + channel % BLOCK * 4;
        let bytes = &self.data[at..at + 4];
        i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// The value at an image position whatever the element type.
    pub fn value(&self, row: usize, column: usize, channel: usize) -> i32 {
        match self.layout.element {
            Element::Code => i32::from(self.code(row, column, channel)),
            Element::Accumulator => self.accumulator(row, column, channel),
        }
    }

    /// These image rows alone, which must be present.
    pub fn part(&self, rows: core::ops::Range<usize>) -> Self {
        let origin = self.layout.halo.top + rows.start;
        let start = (origin - self.origin) * self.layout.row_stride;
        let bytes = rows.len().saturating_sub(1) * self.layout.row_stride + self.layout.row_bytes();
        Self { layout: self.layout, origin, data: &self.data[start..start + bytes] }
    }

    /// The stored bytes of image row `row`, all blocks, halo columns included.
    pub fn row(&self, row: usize) -> &'a [u8] {
        let start = (row + self.layout.halo.top - self.origin) * self.layout.row_stride;
        &self.data[start..start + self.layout.row_bytes()]
    }
}

/// Image rows `first..first + count` of a tensor, writable; no halo rows.
#[derive(Debug)]
pub struct RowsMut<'a> {
    /// Layout of the whole tensor.
    pub layout: Layout,
    /// First image row covered.
    pub first: usize,
    /// Image rows covered.
    pub count: usize,
    /// Bytes from the start of row `first`; ends with row `first + count − 1`.
    pub data: &'a mut [u8],
}

impl<'a> RowsMut<'a> {
    /// All image rows of a tensor stored in `data` (`layout.bytes()` bytes).
    pub fn whole(layout: Layout, data: &'a mut [u8]) -> Self {
        let start = layout.halo.top * layout.row_stride;
        let end = start + (layout.height - 1) * layout.row_stride + layout.row_bytes();
        Self { layout, first: 0, count: layout.height, data: &mut data[start..end] }
    }

    /// Splits after `rows` rows; both parts must be non-empty.
    pub fn split_at(self, rows: usize) -> (RowsMut<'a>, RowsMut<'a>) {
        let (upper, lower) = self.data.split_at_mut(rows * self.layout.row_stride);
        (
            RowsMut { layout: self.layout, first: self.first, count: rows, data: upper },
            RowsMut { layout: self.layout, first: self.first + rows, count: self.count - rows, data: lower },
        )
    }

    /// The stored bytes of image row `row`, which must be covered.
    pub fn row_mut(&mut self, row: usize) -> &mut [u8] {
        let start = (row - self.first) * self.layout.row_stride;
        &mut self.data[start..start + self.layout.row_bytes()]
    }

    /// Stores a code at image position (`row`, `column`) of `channel`.
    #[inline(always)]
    pub fn set_code(&mut self, row: usize, column: usize, channel: usize, code: u8) {
        let at = (row - self.first) * self.layout.row_stride
            + self.layout.offset_in_row(channel / BLOCK, column)
            + channel % BLOCK;
        self.data[at] = code;
    }

    /// Stores an accumulator at image position (`row`, `column`) of `channel`.
    pub fn set_accumulator(&mut self, row: usize, column: usize, channel: usize, value: i32) {
        let at = (row - self.first) * self.layout.row_stride
            + self.layout.offset_in_row(channel / BLOCK, column)
            + channel % BLOCK * 4;
        self.data[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
}

/// Fills the halo of a code tensor with `zero_point`; `data` is the whole tensor.
///
/// Bytes between rows (when a tensor is a channel range of a wider one) are left alone.
pub fn fill_halo(layout: Layout, data: &mut [u8], zero_point: u8) {
    let halo = layout.halo;
    if layout.element != Element::Code || halo == Halo::default() {
        return;
    }
    let image = halo.top..halo.top + layout.height;
    for row in 0..layout.stored_rows() {
        let start = row * layout.row_stride;
        let bytes = &mut data[start..start + layout.row_bytes()];
        if !image.contains(&row) {
            bytes.fill(zero_point);
            continue;
        }
        for block in bytes.chunks_exact_mut(layout.block_stride()) {
            block[..halo.left * BLOCK].fill(zero_point);
            block[(halo.left + layout.width) * BLOCK..].fill(zero_point);
        }
    }
}

#[cfg(test)]
mod tests;
