//! Bets against uniform ranks: a restarted Simple Jumper and a Shiryaev–Roberts mixture.

use super::{Direction, Method};
use candor_core::state::{Reader, StateError, Writer};

/// Share of the capital that changes sides at every bet (Vovk, 2021).
const JUMP: f64 = 0.01;
/// Half of the Jumper's capital is staked within so many bets, half of the rest within as many again, ...
const PATIENCE: f64 = 64.0;
/// Odds ratios of the shifts that are bet on, and of the bet on both extremes.
const SHIFTS: [f64; 3] = [2.0, 6.0, 24.0];
const SPREAD: f64 = 8.0;
/// Bets of the mixture: every shift up and down, and the spread.
const BETS: usize = 2 * SHIFTS.len() + 1;

/// Which bet it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bet {
    /// Its method.
    pub method: Method,
    /// What it bet on.
    pub direction: Direction,
}

/// The capital of one series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Of the Simple Jumper on falling, unchanged and rising ranks.
    jumper: [f64; 3],
    /// Shiryaev–Roberts statistics, one per bet.
    restarted: [f64; BETS],
    bets: u64,
}

impl Default for Evidence {
    fn default() -> Self {
        Self { jumper: [0.0; 3], restarted: [0.0; BETS], bets: 0 }
    }
}

/// Density, at rank `u`, of the ranks of values whose odds were multiplied by `ratio`: a shift of a
/// logistic distribution by ln `ratio`. Its integral over (0, 1) is 1.
///
/// u ↦ u/(u + ratio·(1 − u)) is the distribution function of such ranks (proportional odds); this is its
/// derivative. Unlike the bets of a normal shift it takes no transcendental function, so that evidence is
/// the same on every machine; against a normal shift of 1 σ the middle one gains 0.47 nats a bet of 0.5
/// possible, and it is bounded.
fn odds_density(u: f64, ratio: f64) -> f64 {
    let mixed = u + ratio * (1.0 - u);
    ratio / (mixed * mixed)
}

fn density(bet: usize, u: f64) -> f64 {
    match SHIFTS.get(bet / 2) {
        Some(&ratio) if bet.is_multiple_of(2) => odds_density(u, ratio),
        Some(&ratio) => odds_density(1.0 - u, ratio),
        None => 0.5 * (odds_density(u, SPREAD) + odds_density(1.0 - u, SPREAD)),
    }
}

impl Evidence {
    /// Bytes in a state.
    pub(super) const BYTES: usize = (3 + BETS + 1) * 8;

    /// Bets on one more rank in (0, 1).
    ///
    /// The Simple Jumper holds capital on each of ε = −1, 0, 1, moves `JUMP` of it evenly over the three
    /// before every bet and multiplies each by 1 + ε·(u − ½). So as not to have lost everything by the time
    /// it matters, its unit of capital is staked bit by bit, `64/((n + 64)(n + 65))` before bet n: a
    /// mixture of jumpers that begin at every time, at most 1 altogether, hence a non-negative
    /// supermartingale. The Shiryaev–Roberts statistic of a bet f is `R ← (R + 1)·f(u)`: the sum over all
    /// starting times of the bet's capital since then. R − n is a martingale.
    pub fn bet(&mut self, rank: f64) {
        let bets = self.bets as f64;
        let stake = PATIENCE / ((bets + PATIENCE) * (bets + PATIENCE + 1.0));
        let capital = self.jumper[0] + self.jumper[1] + self.jumper[2];
        for (side, epsilon) in self.jumper.iter_mut().zip([-1.0, 0.0, 1.0]) {
            let moved = (1.0 - JUMP) * *side + (JUMP * capital + stake) / 3.0;
            *side = moved * (1.0 + epsilon * (rank - 0.5));
        }
        for (bet, statistic) in self.restarted.iter_mut().enumerate() {
            *statistic = (*statistic + 1.0) * density(bet, rank);
        }
        self.bets += 1;
    }

    /// Half the Jumper's capital and half the mean of the Shiryaev–Roberts statistics over `horizon`; its
    /// expectation after n bets on uniform ranks is at most (1 + n/horizon)/2.
    pub fn value(&self, horizon: u32) -> f64 {
        0.5 * self.jumper.iter().sum::<f64>() + 0.5 * self.mean_restarted(horizon)
    }

    fn mean_restarted(&self, horizon: u32) -> f64 {
        self.restarted.iter().sum::<f64>() / (BETS as f64 * f64::from(horizon))
    }

    /// The bet that holds most of [`Evidence::value`].
    pub fn leading(&self, horizon: u32) -> Bet {
        let jumper = self.jumper.iter().sum::<f64>();
        if jumper > self.mean_restarted(horizon) {
            let direction = if self.jumper[2] > self.jumper[0] { Direction::Up } else { Direction::Down };
            return Bet { method: Method::Jumper, direction };
        }
        let mut leading = (0, 0.0);
        for (bet, &statistic) in self.restarted.iter().enumerate() {
            if statistic > leading.1 {
                leading = (bet, statistic);
            }
        }
        let direction = match leading.0 {
            bet if bet + 1 == BETS => Direction::Spread,
            bet if bet.is_multiple_of(2) => Direction::Up,
            _ => Direction::Down,
        };
        Bet { method: Method::Restarted, direction }
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        self.jumper.iter().chain(&self.restarted).for_each(|value| writer.u64(value.to_bits()));
        writer.u64(self.bets);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut evidence = Self::default();
        for value in evidence.jumper.iter_mut().chain(&mut evidence.restarted) {
            *value = f64::from_bits(reader.u64()?);
        }
        evidence.bets = reader.u64()?;
        Ok(evidence)
    }
}
