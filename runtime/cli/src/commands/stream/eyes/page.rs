//! The page: its own files from the binary, the state as JSON, the last frame as pictures.

use super::board::{Board, Counts, Picture, Point};
use super::server::Response;
use candor_core::alert::{Reason, Standing};
use candor_imaging::frame::{Frame, Samples, Source};
use candor_imaging::labels::Labels;
use candor_imaging::{overlay, palette, write};
use serde_json::{Value, json};

/// Answers a path of the page; `None` when there is no such thing.
pub fn respond(board: &Board, path: &str) -> Option<Response> {
    match path {
        "/" => Some(Response::text("text/html; charset=utf-8", include_str!("page.html"))),
        "/page.js" => Some(Response::text("text/javascript; charset=utf-8", include_str!("page.js"))),
        "/page.css" => Some(Response::text("text/css; charset=utf-8", include_str!("page.css"))),
        "/state.json" => {
            board.look();
            Some(Response::text("application/json", state(board).to_string()))
        }
        "/overlay.png" => picture(board, overlaid),
        "/confidence.png" => picture(board, heat),
        _ => None,
    }
}

fn picture(board: &Board, draw: fn(&Picture, usize) -> Option<Vec<u8>>) -> Option<Response> {
    board.look();
    let classes = board.counts().0.classes.len();
    draw(&board.picture()?, classes).map(Response::png)
}

/// The frame with the mask's outlines and uncertain pixels hatched.
fn overlaid(picture: &Picture, classes: usize) -> Option<Vec<u8>> {
    let slot = &picture.slot;
    let (samples, bits) = match slot.full_scale {
        0..=255 => (Samples::U8(slot.narrow.clone()), 8),
        full => (Samples::U16(slot.wide.clone()), (16 - full.leading_zeros()) as u8),
    };
    let source = Source::new("frame", bits);
    let frame = Frame::new(slot.width, slot.height, slot.channels, samples, source).ok()?;
    let labels = Labels::new(picture.extent[1], picture.extent[0], picture.mask.clone()).ok()?;
    let colours = palette::class_colours(classes);
    let style = overlay::Style::default();
    let drawn = overlay::compose(&frame, &labels, &colours, Some(&picture.confidence), style).ok()?;
    write::frame_png_bytes(&drawn).ok()
}

/// Confidence as colours, dark for none.
fn heat(picture: &Picture, _: usize) -> Option<Vec<u8>> {
    let scale = palette::heat_scale();
    let levels = picture.confidence.iter().flat_map(|&value| scale[usize::from(value >> 8)]);
    let [height, width] = picture.extent;
    let source = Source::new("confidence", 8);
    let frame = Frame::new(width, height, 3, Samples::U8(levels.collect()), source).ok()?;
    write::frame_png_bytes(&frame).ok()
}

/// All that the page shows beside pictures.
fn state(board: &Board) -> Value {
    let (identity, counts) = board.counts();
    let points = board.points();
    let of = |value: fn(&Point) -> Value| points.iter().map(value).collect::<Vec<_>>();
    json!({
        "name": identity.name,
        "digest": identity.digest,
        "tier": identity.tier,
        "classes": identity.classes,
        "colours": palette::class_colours(identity.classes.len()),
        "ood_threshold": identity.threshold,
        "deadline_us": identity.deadline_us,
        "memory_budget": identity.memory_budget,
        "points": {
            "seq": of(|point| point.sequence.into()),
            "disposition": of(|point| json!(point.disposition)),
            "age_us": of(|point| point.age_us.into()),
            "ood": of(|point| json!(point.ood.is_finite().then_some(point.ood))),
            "alert": of(|point| point.alert.into()),
            "confidence": of(|point| json!(point.confidence.is_finite().then_some(point.confidence))),
        },
        "counts": counts.map(|counts| describe(&counts)),
    })
}

fn describe(counts: &Counts) -> Value {
    let named = Reason::ALL.iter().zip(&counts.alerts);
    let seen =
        named.filter(|(_, (standing, raised, stale))| *standing != Standing::Normal || *raised > 0 || *stale);
    let alerts = seen.map(|(reason, (standing, raised, stale))| {
        json!({ "reason": reason.name(), "standing": standing.name(), "raised": raised, "stale": stale })
    });
    json!({
        "ledger": counts.ledger,
        "reconciles": counts.ledger.reconciles(),
        "miss_after_miss": counts.ledger.miss_after_miss(),
        "age_us_max": counts.meters.age_us_max,
        "worst": counts.meters.worst.map(|severity| severity.name()),
        "alerts": alerts.collect::<Vec<_>>(),
        "validity": counts.validity,
        "cap": f64::from(counts.cap) / 65535.0,
        "drift": {
            "phase": counts.phase,
            "block": counts.block,
            "evidence": counts.evidence,
            "limit": counts.evidence_limit,
        },
        "bytes": counts.bytes,
        "log_lines": counts.log_lines,
        "log_outstanding": counts.log_outstanding,
    })
}
