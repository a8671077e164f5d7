//! Calibration of the quantized model: evidence per frame, the calibrator chosen by held-out likelihood.

use super::Fitted;
use crate::calibrate::{Calibrator, Evidence, Kind, LogitSample, Parameters, choose, choose_multiclass};
use crate::dataset::{Entry, view};
use crate::pack::{INDEX_STEP, logit_of};
use candor::{Details, Session};
use candor_core::package::Activation;
use serde_json::{Value, json};

/// Folds of the choice.
const FOLDS: usize = 5;
/// Pixels drawn per frame for a multi-class fit.
const PIXELS: usize = 4000;

/// Runs every frame and fits.
pub(super) fn fit(session: &mut Session<'_>, entries: &[Entry]) -> Result<Fitted, Vec<String>> {
    let (mut binary, mut multi) = (Vec::new(), Vec::new());
    let mut details = Details::default();
    let classes = session.head().classes();
    let activation = session.head().activation;
    for (index, entry) in entries.iter().enumerate() {
        let line = |error: String| vec![error];
        let frame = entry.frame().map_err(line)?;
        let labels = entry.labels(&frame, classes).map_err(line)?;
        let view = view(&frame).ok_or_else(|| vec![format!("{}: not a picture", entry.image.display())])?;
        session.run_detailed(&view, &mut details).map_err(|error| vec![error.to_string()])?;
        let failed = |error: crate::calibrate::CalibrateError| vec![error.to_string()];
        match activation {
            Activation::Sigmoid => {
                let mut evidence = Evidence::new(f64::from(INDEX_STEP)).map_err(failed)?;
                for ((&at, &label), &boundary) in details.indices.iter().zip(&labels).zip(&details.boundary) {
                    evidence.add(at, boundary, label == 1);
                }
                binary.push(evidence);
            }
            Activation::Softmax => {
                let logits: Vec<f32> =
                    details.indices.iter().map(|&i| logit_of(usize::from(i)) as f32).collect();
                let seed = index as u64;
                multi.push(LogitSample::draw(classes, &logits, &labels, PIXELS, seed).map_err(failed)?);
            }
        }
    }
    let failed = |error: crate::calibrate::CalibrateError| vec![format!("calibration: {error}")];
    match activation {
        Activation::Sigmoid => {
            let choice = choose(&binary, FOLDS).map_err(failed)?;
            let ranking = choice.ranking.iter().map(|c| (format!("{:?}", c.scope), c.method, c.held_out_nll));
            Ok(section(&choice.calibrator, ranking))
        }
        Activation::Softmax => {
            let choice = choose_multiclass(&multi, FOLDS, f64::from(INDEX_STEP)).map_err(failed)?;
            let ranking = choice.ranking.iter().map(|c| (format!("{:?}", c.kind), c.method, c.held_out_nll));
            Ok(section(&choice.calibrator, ranking))
        }
    }
}

fn section(
    calibrator: &Calibrator,
    ranking: impl Iterator<Item = (String, crate::calibrate::Method, f64)>,
) -> Fitted {
    let number: u32 = match calibrator.parameters.first() {
        None | Some(Parameters::Identity) => 0,
        Some(Parameters::Temperature { .. }) => 1,
        Some(Parameters::Platt { .. }) => 2,
        Some(Parameters::Beta { .. }) => 3,
        Some(_) => 4,
    };
    let mut bytes: Vec<u8> = number.to_le_bytes().to_vec();
    bytes.extend((calibrator.tables.len() as u32).to_le_bytes());
    for table in &calibrator.tables {
        bytes.extend(table.entries().iter().flat_map(|p| p.to_le_bytes()));
    }
    let rows: Vec<(String, String, f64)> =
        ranking.map(|(scope, method, nll)| (scope, format!("{method:?}"), nll)).collect();
    let kind = match calibrator.kind {
        Kind::Shared => "one table",
        Kind::BoundaryInterior => "boundary and interior tables",
        Kind::Softmax => "softmax weights",
        Kind::OneVsRest => "one table per class",
    };
    let name = candor_core::calibration::CALIBRATORS[number as usize];
    let mut lines = vec![format!("calibration: {name}, {kind}, chosen by held-out likelihood")];
    lines.extend(rows.iter().map(|(scope, method, nll)| {
        format!("  {:<34} held-out NLL {nll:.6}", format!("{method} ({scope})"))
    }));
    let ranking: Vec<Value> = rows
        .iter()
        .map(|(scope, method, nll)| json!({ "scope": scope, "method": method, "held_out_nll": nll }))
        .collect();
    let summary = json!({ "method": name, "tables": calibrator.tables.len(), "ranking": ranking });
    Fitted { section: bytes, lines, summary }
}
