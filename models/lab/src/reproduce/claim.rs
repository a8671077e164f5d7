//! Claims about two arms, and what paired runs say about them.

use super::Record;
use crate::metrics::{Interval, MetricError, Resampling, paired_difference};
use std::collections::BTreeMap;
use std::fmt;

/// Fewest pairs that decide anything.
const PAIRS: usize = 8;

/// How intervals are found: 95 %, percentile bootstrap over seeds.
const PLAN: Resampling = Resampling { resamples: 10_000, level: 0.95, seed: 1 };

/// What is claimed of the figure of the first arm against that of the second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Relation {
    /// It is lower.
    Lower,
    /// It is higher.
    Higher,
    /// It is at most so much lower.
    NotLowerBy(f64),
}

/// A claim of a paper, or a question it leaves open.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The figure compared.
    pub figure: &'static str,
    /// Arm the claim is about.
    pub first: String,
    /// Arm it is compared with.
    pub second: String,
    /// What is claimed.
    pub relation: Relation,
}

impl Claim {
    /// A claim about `first` against `second`.
    pub fn new(
        figure: &'static str,
        first: impl Into<String>,
        relation: Relation,
        second: impl Into<String>,
    ) -> Self {
        Self { figure, first: first.into(), second: second.into(), relation }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { figure, first, second, relation } = self;
        match relation {
            Relation::Lower => write!(out, "{figure} of {first} is lower than of {second}"),
            Relation::Higher => write!(out, "{figure} of {first} is higher than of {second}"),
            Relation::NotLowerBy(margin) => {
                write!(out, "{figure} of {first} is at most {margin} below {second}")
            }
        }
    }
}

/// What the runs say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The interval lies wholly on the claimed side.
    Holds,
    /// The interval lies wholly on the other side.
    DoesNotHold,
    /// The interval takes in both, or there are fewer than eight pairs.
    Undecided,
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Holds => "holds",
            Self::DoesNotHold => "does not hold",
            Self::Undecided => "undecided",
        })
    }
}

/// A claim on one group of data.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// What was claimed.
    pub claim: Claim,
    /// Where.
    pub group: String,
    /// Pairs compared.
    pub pairs: usize,
    /// First less second.
    pub difference: Interval,
    /// What follows.
    pub verdict: Verdict,
}

/// Judges every claim in every group that has both of its arms.
///
/// # Errors
/// A figure that is not finite.
pub fn judge(claims: &[Claim], records: &[Record]) -> Result<Vec<Judgement>, MetricError> {
    let mut groups: Vec<&str> = records.iter().map(|record| record.group.as_str()).collect();
    groups.sort_unstable();
    groups.dedup();
    let mut judgements = Vec::new();
    for claim in claims {
        for &group in &groups {
            let values = |arm: &str| -> BTreeMap<u64, f64> {
                let own = records.iter().filter(|record| record.group == group && record.arm == arm);
                own.filter_map(|record| Some((record.seed, *record.figures.get(claim.figure)?))).collect()
            };
            let (first, second) = (values(&claim.first), values(&claim.second));
            let pairs: Vec<(f64, f64)> =
                first.iter().filter_map(|(seed, &value)| Some((value, *second.get(seed)?))).collect();
            if pairs.is_empty() {
                continue;
            }
            let (first, second): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let difference = paired_difference(&first, &second, PLAN)?;
            let verdict = decide(claim.relation, &difference, first.len());
            let group = group.to_string();
            judgements.push(Judgement {
                claim: claim.clone(),
                group,
                pairs: first.len(),
                difference,
                verdict,
            });
        }
    }
    Ok(judgements)
}

fn decide(relation: Relation, difference: &Interval, pairs: usize) -> Verdict {
    let (holds, fails) = match relation {
        Relation::Lower => (difference.high < 0.0, difference.low > 0.0),
        Relation::Higher => (difference.low > 0.0, difference.high < 0.0),
        Relation::NotLowerBy(margin) => (difference.low > -margin, difference.high < -margin),
    };
    match (pairs >= PAIRS, holds, fails) {
        (true, true, _) => Verdict::Holds,
        (true, _, true) => Verdict::DoesNotHold,
        _ => Verdict::Undecided,
    }
}
