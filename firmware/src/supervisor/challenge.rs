//! Questions that only a box with the right weights, a right driver and time to spare answers.
//!
//! A tile is a generated input whose output digest the package fixes: inference is exact to the bit, so
//! there is one right answer. Which tile is asked for, nobody knows beforehand.

use super::{Cause, Settings};
use candor_core::link::Message;

/// An input and the digest of the output that the package gives for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Seed of the [`candor_core::golden`] input.
    pub seed: u32,
    /// First eight bytes of the SHA-256 of the output tensor.
    pub digest: u64,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
struct Question {
    nonce: u32,
    tile: Tile,
    asked_at_us: u64,
}

/// The questions of one supervisor.
#[derive(Debug, Clone)]
pub(super) struct Challenge {
    open: Option<Question>,
    ask_at_us: u64,
    answered: u32,
    state: u32,
}

impl Challenge {
    pub const fn new() -> Self {
        Self { open: None, ask_at_us: 0, answered: 0, state: 0x9e37_79b9 }
    }

    /// Drops the open question.
    pub const fn forget(&mut self) {
        self.open = None;
    }

    /// Asks at `now_us`, and takes no answer given before.
    pub const fn ask_at(&mut self, now_us: u64) {
        (self.open, self.ask_at_us, self.answered) = (None, now_us, 0);
    }

    /// Whether the box has answered since it was acknowledged; without tiles there is nothing to ask.
    pub const fn is_met(&self, settings: &Settings) -> bool {
        self.answered > 0 || settings.tiles.is_empty()
    }

    /// The next question, when it is time.
    pub fn poll(&mut self, settings: &Settings, now_us: u64) -> Result<Option<Message>, Cause> {
        if let Some(question) = self.open {
            let late = now_us.saturating_sub(question.asked_at_us) > settings.answer_us;
            return if late { Err(Cause::Unanswered) } else { Ok(None) };
        }
        if now_us < self.ask_at_us {
            return Ok(None);
        }
        self.ask_at_us = now_us + settings.question_us;
        let nonce = self.draw(now_us);
        // The upper bits scaled to the number of tiles.
        let index = (u64::from(nonce) * settings.tiles.len() as u64) >> 32;
        let Some(&tile) = settings.tiles.get(index as usize) else { return Ok(None) };
        self.open = Some(Question { nonce, tile, asked_at_us: now_us });
        Ok(Some(Message::Challenge { nonce, seed: tile.seed }))
    }

    /// Takes an answer.
    pub fn answer(&mut self, settings: &Settings, now_us: u64, nonce: u32, digest: u64) -> Result<(), Cause> {
        let Some(question) = self.open else { return Ok(()) };
        if now_us.saturating_sub(question.asked_at_us) > settings.answer_us {
            return Err(Cause::Unanswered);
        }
        if (nonce, digest) != (question.nonce, question.tile.digest) {
            return Err(Cause::WrongAnswer);
        }
        self.open = None;
        self.answered = self.answered.saturating_add(1);
        Ok(())
    }

    /// Mixes the moment into what was drawn before (Murmur3's finaliser; Appleby 2011): no secret, but no
    /// pattern that a stuck box could follow by chance.
    fn draw(&mut self, now_us: u64) -> u32 {
        let mut z = self.state.wrapping_add(0x9e37_79b9) ^ (now_us as u32) ^ ((now_us >> 32) as u32);
        z = (z ^ (z >> 16)).wrapping_mul(0x85eb_ca6b);
        z = (z ^ (z >> 13)).wrapping_mul(0xc2b2_ae35);
        self.state = z ^ (z >> 16);
        self.state
    }
}
