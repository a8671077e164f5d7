//! Whether the ranks of neighbouring blocks are independent, as the guarantee takes them to be.

use candor_core::state::{Reader, StateError, Writer};

/// Fewest pairs that are judged.
const PAIRS_MIN: u64 = 64;
/// Standard errors beyond which a correlation is no chance.
const ERRORS: f64 = 3.5;

/// The serial correlation of one series of ranks.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Neighbours {
    last: Option<f64>,
    pairs: u64,
    /// Sum of the products of neighbours' distances from the middle.
    products: f64,
}

impl Neighbours {
    /// Bytes in a state.
    pub const BYTES: usize = 25;

    /// Adds the next rank, in (0, 1).
    pub fn push(&mut self, rank: f64) {
        let distance = rank - 0.5;
        if let Some(last) = self.last.replace(distance) {
            self.pairs += 1;
            self.products += last * distance;
        }
    }

    /// Whether neighbours are positively correlated by more than chance. Independent uniform ranks have
    /// products of mean 0 and standard deviation 1/12. A drift that moves the ranks for some tens of
    /// blocks among hundreds does not reach this.
    pub fn correlated(&self) -> bool {
        let pairs = self.pairs as f64;
        self.pairs >= PAIRS_MIN && 12.0 * self.products > ERRORS * pairs.sqrt()
    }

    pub fn write(&self, writer: &mut Writer<'_>) {
        writer.u8(u8::from(self.last.is_some()));
        writer.u64(self.last.unwrap_or(0.0).to_bits());
        writer.u64(self.pairs);
        writer.u64(self.products.to_bits());
    }

    pub fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let known = reader.flag()?;
        let last = f64::from_bits(reader.u64()?);
        let (pairs, products) = (reader.u64()?, f64::from_bits(reader.u64()?));
        Ok(Self { last: known.then_some(last), pairs, products })
    }
}
