//! Choice of the binary calibrator by held-out likelihood: folds by image, never by pixel.
use super::histogram::Histogram;
use super::table::{Calibrator, Kind};
use super::{CalibrateError, Fit, Method, fit};
use serde::Serialize;

/// What one image (better: one exam) shows: its pixels off and on the boundary band of the *predicted*
/// mask.
///
/// The band must be the predicted mask's, because that is the one a device can compute. Without a split put
/// every pixel into `interior`; the boundary-aware candidates are then left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Pixels off the band.
    pub interior: Histogram,
    /// Pixels on the band.
    pub boundary: Histogram,
}

impl Evidence {
    /// No pixels yet; see [`Histogram::new`].
    ///
    /// # Errors
    /// [`CalibrateError::Step`].
    pub fn new(step: f64) -> Result<Self, CalibrateError> {
        Ok(Self { interior: Histogram::new(step)?, boundary: Histogram::new(step)? })
    }

    /// Adds one pixel.
    pub fn add(&mut self, index: u16, boundary: bool, positive: bool) {
        let part = if boundary { &mut self.boundary } else { &mut self.interior };
        part.add(index, positive);
    }

    /// Adds the pixels of another image.
    ///
    /// # Errors
    /// [`CalibrateError::StepMismatch`].
    pub fn merge(&mut self, other: &Self) -> Result<(), CalibrateError> {
        self.interior.merge(&other.interior)?;
        self.boundary.merge(&other.boundary)
    }

    /// The parts a scope fits tables to, in table order.
    fn parts(&self, scope: Scope) -> Result<Vec<Histogram>, CalibrateError> {
        match scope {
            Scope::Shared => {
                let mut all = self.interior.clone();
                all.merge(&self.boundary)?;
                Ok(vec![all])
            }
            Scope::BoundaryInterior => Ok(vec![self.interior.clone(), self.boundary.clone()]),
        }
    }
}

/// One table for all pixels, or one for the boundary band and one for the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// One table.
    Shared,
    /// Interior and boundary tables.
    BoundaryInterior,
}

impl Scope {
    fn kind(self) -> Kind {
        match self {
            Self::Shared => Kind::Shared,
            Self::BoundaryInterior => Kind::BoundaryInterior,
        }
    }
}

/// A candidate and how well it did on images it was not fitted on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Candidate {
    /// Which pixels share a table.
    pub scope: Scope,
    /// Which map; the same in both tables of a pair.
    pub method: Method,
    /// Mean held-out negative log-likelihood per pixel, nats, of the integer table.
    pub held_out_nll: f64,
}

/// The ranking and the winner, refitted on everything.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Candidates that could be fitted on every fold, best first.
    pub ranking: Vec<Candidate>,
    /// The best candidate, fitted on all images.
    pub calibrator: Calibrator,
}

/// Chooses scope and method by k-fold cross-validation over images, then refits the winner on all of them.
///
/// Image `i` is held out in fold `i mod k`, k = min(`folds`, images): the outcome depends on the order of
/// the images only, never on chance. Frames of one exam are alike, so merge them into one entry first.
/// Callers short of memory may merge images into k entries beforehand; the result is the same. What is
/// scored is the mean NLL per pixel of the rounded table a device would use. A candidate that cannot be
/// fitted on some fold (one class only) is left out; the identity always remains. Ties go to the simpler
/// candidate.
///
/// # Errors
/// Fewer than 2 images or folds, no pixels at all, or histograms of different step.
pub fn choose(images: &[Evidence], folds: usize) -> Result<Choice, CalibrateError> {
    let folds = folds.min(images.len());
    let first = images.first().filter(|_| folds >= 2);
    let step = first.ok_or(CalibrateError::TooFewFolds { found: folds })?.interior.step();
    let held_out = merge_folds(images, folds, step)?;
    let all = merge_all(held_out.iter(), step)?;
    let total = all.interior.count().saturating_add(all.boundary.count());
    if total == 0 {
        return Err(CalibrateError::Empty);
    }
    let mut ranking = Vec::new();
    let split = all.interior.count() > 0 && all.boundary.count() > 0;
    for scope in [Scope::Shared, Scope::BoundaryInterior] {
        // Two identities are one.
        let distinct = |method: &Method| scope == Scope::Shared || (split && *method != Method::Identity);
        for method in Method::ALL.into_iter().filter(distinct) {
            let surprise = held_out_surprise(&held_out, scope, method)?;
            // A winner must also be fit for all images, or there would be nothing to ship.
            if let (Some(surprise), Some(_)) = (surprise, fit_parts(&all, scope, method)?) {
                ranking.push(Candidate { scope, method, held_out_nll: surprise / total as f64 });
            }
        }
    }
    ranking.sort_by(|a, b| a.held_out_nll.total_cmp(&b.held_out_nll));
    let best = ranking.first().ok_or(CalibrateError::Empty)?;
    let fits = fit_parts(&all, best.scope, best.method)?.ok_or(CalibrateError::Empty)?;
    let calibrator = Calibrator {
        kind: best.scope.kind(),
        step,
        parameters: fits.iter().map(|fit| fit.parameters).collect(),
        tables: fits.into_iter().map(|fit| fit.table).collect(),
    };
    Ok(Choice { ranking, calibrator })
}

fn merge_folds(images: &[Evidence], folds: usize, step: f64) -> Result<Vec<Evidence>, CalibrateError> {
    let mut merged = vec![Evidence::new(step)?; folds];
    for (image, evidence) in images.iter().enumerate() {
        merged[image % folds].merge(evidence)?;
    }
    Ok(merged)
}

fn merge_all<'a>(parts: impl Iterator<Item = &'a Evidence>, step: f64) -> Result<Evidence, CalibrateError> {
    let mut all = Evidence::new(step)?;
    for part in parts {
        all.merge(part)?;
    }
    Ok(all)
}

/// Fits of one candidate, a table per part; `None` when a part lacks pixels of either label.
fn fit_parts(evidence: &Evidence, scope: Scope, method: Method) -> Result<Option<Vec<Fit>>, CalibrateError> {
    let fits: Result<Vec<Fit>, CalibrateError> =
        evidence.parts(scope)?.iter().map(|part| fit(method, part)).collect();
    match fits {
        Ok(fits) => Ok(Some(fits)),
        Err(CalibrateError::Empty | CalibrateError::SingleClass { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Summed surprise of every fold under the fit to the other folds; `None` when some fit is impossible.
fn held_out_surprise(
    folds: &[Evidence],
    scope: Scope,
    method: Method,
) -> Result<Option<f64>, CalibrateError> {
    let mut surprise = 0.0;
    for (index, fold) in folds.iter().enumerate() {
        let others = folds.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, part)| part);
        let training = merge_all(others, fold.interior.step())?;
        let Some(fits) = fit_parts(&training, scope, method)? else { return Ok(None) };
        for (part, fit) in fold.parts(scope)?.iter().zip(&fits) {
            surprise += part.surprise(&fit.table);
        }
    }
    Ok(Some(surprise))
}
