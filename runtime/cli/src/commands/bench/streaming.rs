//! Measures row streaming: the time from a frame's last rows to its finished mask.

use crate::device;
use crate::exit::Failure;
use candor::{FrameView, Package, Samples, SessionOptions};
use candor_core::golden;
use std::time::Instant;

/// Medians over frames that came by rows.
pub(super) struct Streamed {
    /// Rows pushed at a time.
    pub rows: usize,
    /// Milliseconds of all pushes of a frame.
    pub frame_ms: f64,
    /// Milliseconds of the last push: from its rows to the finding.
    pub tail_ms: f64,
    /// Arena of the streaming schedule.
    pub arena_bytes: usize,
}

/// Pushes `frames` frames of the model's extent by `rows` rows at a time, after one that is not counted.
pub(super) fn measure(
    package: &Package,
    options: &SessionOptions,
    device: &str,
    rows: usize,
    frames: usize,
) -> Result<Streamed, Failure> {
    let mut session = device::open(package, &SessionOptions { streaming: true, ..*options }, device)?;
    let layout = session.plan().tensor(0).map_err(candor::Error::from)?.layout;
    let rows = rows.clamp(1, layout.height);
    let row = layout.width * layout.channels;
    let samples: Vec<u8> = (0..layout.height * row).map(|at| golden::input_code(1, at, row)).collect();
    let (mut whole, mut tails) = (Vec::with_capacity(frames), Vec::with_capacity(frames));
    for frame in 0..=frames {
        let start = Instant::now();
        let mut last = start;
        for part in samples.chunks(rows * row) {
            last = Instant::now();
            session.push_rows(&FrameView {
                width: layout.width,
                height: part.len() / row,
                channels: layout.channels,
                full_scale: 255,
                samples: Samples::U8(part),
            })?;
        }
        if frame > 0 {
            whole.push(start.elapsed().as_secs_f64() * 1e3);
            tails.push(last.elapsed().as_secs_f64() * 1e3);
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let (frame_ms, tail_ms) = (median(&mut whole), median(&mut tails));
    Ok(Streamed { rows, frame_ms, tail_ms, arena_bytes: session.planned().arena_bytes() })
}
