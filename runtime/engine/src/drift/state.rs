//! The detector's state as bytes, so that a restart goes on where the stream was.

use super::{Drift, DriftSettings, Evidence, Ladder, Neighbours, Phase, RECOVERY_BLOCKS, Ranks};
use candor_core::state::{DIGEST_BYTES, HEADER_BYTES, Reader, StateError, Writer};

const KIND: [u8; 4] = *b"CDRI";
const VERSION: u16 = 1;
const FIXED_BYTES: usize = 28 + 1 + 12 * 8;
const SERIES_BYTES: usize =
    Ladder::BYTES + Ranks::BYTES + Evidence::BYTES + Neighbours::BYTES + 12 + 8 * RECOVERY_BLOCKS;

impl Drift {
    /// Bytes of the state with `series` series.
    pub const fn bytes(series: usize) -> usize {
        HEADER_BYTES + FIXED_BYTES + series * SERIES_BYTES + DIGEST_BYTES
    }

    /// Writes the state into `bytes`, which are [`Drift::bytes`] long.
    ///
    /// # Errors
    /// [`StateError::Length`].
    pub fn write(&self, bytes: &mut [u8]) -> Result<(), StateError> {
        let mut writer = Writer::new(bytes, KIND, VERSION);
        write_settings(&self.settings, &mut writer);
        writer.u8(self.phase as u8);
        let counters = [self.frames, self.warmed, self.since, self.reference, u64::from(self.window)];
        let blocks = [u64::from(self.block), self.watched, self.blocks, self.recent as u64];
        counters.into_iter().chain(blocks).for_each(|counter| writer.u64(counter));
        writer.u32(self.lengthened);
        writer.u32(0);
        writer.u64(self.autocorrelation.to_bits());
        for series in &self.series {
            series.ladder.write(&mut writer);
            series.ranks.write(&mut writer);
            series.evidence.write(&mut writer);
            series.neighbours.write(&mut writer);
            writer.u64(series.sum.to_bits());
            writer.u32(series.count);
            series.recent.iter().for_each(|value| writer.u64(value.to_bits()));
        }
        writer.u64(self.evidence_max.to_bits());
        writer.finish()
    }

    /// The state as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; Self::bytes(self.series.len())];
        // The length is right by construction.
        let _ = self.write(&mut bytes);
        bytes
    }

    /// Goes on from a state that was kept under `settings`.
    ///
    /// # Errors
    /// [`StateError::Settings`] when it was kept under others; else when the bytes are not such a state.
    pub fn from_bytes(bytes: &[u8], settings: &DriftSettings) -> Result<Self, StateError> {
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        if read_settings(&mut reader)? != *settings {
            return Err(StateError::Settings);
        }
        let mut drift = Self::new(settings).map_err(|_| StateError::Settings)?;
        drift.phase = match reader.u8()? {
            0 => Phase::WarmUp,
            1 => Phase::Watching,
            2 => Phase::Alarmed,
            _ => return Err(reader.fault(1)),
        };
        drift.frames = reader.u64()?;
        drift.warmed = reader.u64()?;
        drift.since = reader.u64()?;
        drift.reference = reader.u64()?;
        drift.window = reader.u64()? as u32;
        drift.block = reader.u64()? as u32;
        if drift.block == 0 && drift.phase != Phase::WarmUp {
            return Err(reader.fault(8));
        }
        drift.watched = reader.u64()?;
        drift.blocks = reader.u64()?;
        drift.recent = reader.u64()? as usize;
        drift.lengthened = reader.u32()?;
        reader.u32()?;
        drift.autocorrelation = f64::from_bits(reader.u64()?);
        for series in &mut drift.series {
            series.ladder = Ladder::read(&mut reader)?;
            series.ranks = Ranks::read(&mut reader)?;
            series.evidence = Evidence::read(&mut reader)?;
            series.neighbours = Neighbours::read(&mut reader)?;
            series.sum = f64::from_bits(reader.u64()?);
            series.count = reader.u32()?;
            for value in &mut series.recent {
                *value = f64::from_bits(reader.u64()?);
            }
        }
        drift.evidence_max = f64::from_bits(reader.u64()?);
        reader.finish()?;
        Ok(drift)
    }
}

fn write_settings(settings: &DriftSettings, writer: &mut Writer<'_>) {
    writer.u32(settings.series as u32);
    writer.u32(settings.warmup);
    writer.u32(settings.horizon);
    writer.u64(settings.share.to_bits());
    writer.u64(settings.seed);
}

fn read_settings(reader: &mut Reader<'_>) -> Result<DriftSettings, StateError> {
    Ok(DriftSettings {
        series: reader.u32()? as usize,
        warmup: reader.u32()?,
        horizon: reader.u32()?,
        share: f64::from_bits(reader.u64()?),
        seed: reader.u64()?,
    })
}
