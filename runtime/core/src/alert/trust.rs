//! Void and recover: what confidence is worth after an alert, and the evidence that restores it.

use crate::state::{DIGEST_BYTES, HEADER_BYTES, Reader, StateError, Writer};

/// The cap of a void calibration in 1/65535: nothing is called more likely right than wrong.
pub const EVEN_ODDS: u16 = 32_767;
/// Clean decorrelated blocks in a row that restore the calibration by default.
pub const RECOVERY_BLOCKS: u16 = 32;
/// Bytes of the state.
pub const TRUST_BYTES: usize = HEADER_BYTES + 3 + DIGEST_BYTES;

/// What calibration is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Validity {
    /// It holds.
    #[default]
    Valid,
    /// An alert is active: confidence is capped at [`TrustRule::cap`].
    Void,
    /// The alert is over and some blocks were clean: the cap rises with each.
    Recovering,
}

impl Validity {
    /// As logs print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Void => "void",
            Self::Recovering => "recovering",
        }
    }
}

/// The rule of capping and recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustRule {
    /// Greatest confidence while void, in 1/65535.
    pub cap: u16,
    /// Clean decorrelated blocks in a row that restore the calibration, at least 1.
    pub clean_blocks: u16,
}

impl Default for TrustRule {
    fn default() -> Self {
        Self { cap: EVEN_ODDS, clean_blocks: RECOVERY_BLOCKS }
    }
}

/// Keeps account of what calibration is worth.
///
/// Under an alert it is void and confidence is capped at [`TrustRule::cap`]. Once no alert is active, every
/// clean decorrelated block raises the cap by the same part of the way to certainty; after
/// [`TrustRule::clean_blocks`] in a row the calibration holds again. One block that is not clean, or a new
/// alert, begins this anew. Labels that show the confidence to be right restore it at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trust {
    rule: TrustRule,
    validity: Validity,
    clean: u16,
}

const KIND: [u8; 4] = *b"CTRU";
const VERSION: u16 = 1;

impl Trust {
    /// Valid, under `rule`.
    pub const fn new(rule: TrustRule) -> Self {
        Self { rule, validity: Validity::Valid, clean: 0 }
    }

    /// What calibration is worth.
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// Clean blocks so far, while recovering.
    pub const fn clean_blocks(&self) -> u16 {
        self.clean
    }

    /// The greatest confidence that may be stated now, in 1/65535.
    ///
    /// # Exactness
    /// `cap + (65535 − cap)·clean / clean_blocks` in integers, rounded down.
    pub fn cap(&self) -> u16 {
        if self.validity == Validity::Valid {
            return u16::MAX;
        }
        let needed = u32::from(self.rule.clean_blocks.max(1));
        let clean = u32::from(self.clean).min(needed);
        let rise = u32::from(u16::MAX - self.rule.cap) * clean / needed;
        self.rule.cap + rise as u16
    }

    /// An alert that voids calibration is active. Returns whether that is news.
    pub fn void(&mut self) -> bool {
        let news = self.validity != Validity::Void;
        (self.validity, self.clean) = (Validity::Void, 0);
        news
    }

    /// A decorrelated block ended without an active alert; `clean` when nothing in it was out of the
    /// ordinary. Returns whether the calibration holds again by it.
    pub fn block(&mut self, clean: bool) -> bool {
        if self.validity == Validity::Valid {
            return false;
        }
        if !clean {
            (self.validity, self.clean) = (Validity::Void, 0);
            return false;
        }
        self.clean = self.clean.saturating_add(1);
        self.validity = Validity::Recovering;
        let restored = self.clean >= self.rule.clean_blocks.max(1);
        if restored {
            self.restore();
        }
        restored
    }

    /// Labels have shown that the stated confidence is right. Returns whether that is news.
    pub fn restore(&mut self) -> bool {
        let news = self.validity != Validity::Valid;
        (self.validity, self.clean) = (Validity::Valid, 0);
        news
    }

    /// Writes the state into `bytes`, which are [`TRUST_BYTES`] long.
    ///
    /// # Errors
    /// [`StateError::Length`].
    pub fn write(&self, bytes: &mut [u8]) -> Result<(), StateError> {
        let mut writer = Writer::new(bytes, KIND, VERSION);
        writer.u8(self.validity as u8);
        writer.u16(self.clean);
        writer.finish()
    }

    /// Goes on from a state under `rule`.
    ///
    /// # Errors
    /// [`StateError`] when the bytes are not such a state.
    pub fn read(bytes: &[u8], rule: TrustRule) -> Result<Self, StateError> {
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let validity = match reader.u8()? {
            0 => Validity::Valid,
            1 => Validity::Void,
            2 => Validity::Recovering,
            _ => return Err(reader.fault(1)),
        };
        let clean = reader.u16()?;
        reader.finish()?;
        Ok(Self { rule, validity, clean })
    }
}
