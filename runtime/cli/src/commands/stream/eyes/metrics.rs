//! Prometheus text (exposition format 0.0.4) of a stream.

use super::board::{Board, Counts, Identity};
use crate::input::hex;
use candor::stream::meters::{CONFIDENCE_BINS, Histogram, LATENCY_EDGES_US, OOD_EDGES};
use candor_core::alert::Reason;
use std::fmt::Write;

/// All metrics.
pub fn text(board: &Board) -> String {
    let (identity, counts) = board.counts();
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = about(&mut out, &identity);
    if let Some(counts) = counts {
        let _ = ledger(&mut out, &counts);
        let _ = histograms(&mut out, &counts);
        let _ = conclusions(&mut out, &counts);
        let _ = resources(&mut out, &identity, &counts);
    }
    out
}

/// Name, kind and help of a metric.
fn head(out: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn about(out: &mut String, identity: &Identity) -> std::fmt::Result {
    head(out, "candor_package_info", "gauge", "What runs; the digest names the package.")?;
    let name: String = identity.name.chars().filter(|c| !matches!(c, '"' | '\\' | '\n')).collect();
    let (digest, tier, version) = (&identity.digest, identity.tier, env!("CARGO_PKG_VERSION"));
    writeln!(
        out,
        "candor_package_info{{digest=\"{digest}\",name=\"{name}\",tier=\"{tier}\",version=\"{version}\"}} 1"
    )
}

fn ledger(out: &mut String, counts: &Counts) -> std::fmt::Result {
    let ledger = &counts.ledger;
    head(out, "candor_frames_arrived_total", "counter", "Frames that arrived.")?;
    writeln!(out, "candor_frames_arrived_total {}", ledger.arrived)?;
    head(out, "candor_frames_total", "counter", "Settled frames by disposition.")?;
    for (name, count) in [
        ("processed", ledger.processed),
        ("superseded", ledger.superseded),
        ("rejected", ledger.rejected),
        ("late", ledger.late),
    ] {
        writeln!(out, "candor_frames_total{{disposition=\"{name}\"}} {count}")?;
    }
    head(out, "candor_ledger_reconciles", "gauge", "1 while all counts add up.")?;
    writeln!(out, "candor_ledger_reconciles {}", u8::from(ledger.reconciles()))?;
    head(out, "candor_longest_miss_frames", "gauge", "Most frames in a row without a finding in time.")?;
    writeln!(out, "candor_longest_miss_frames {}", ledger.longest_miss)?;
    if let Some(share) = ledger.miss_after_miss() {
        head(out, "candor_miss_after_miss_ratio", "gauge", "Share of misses that follow a miss.")?;
        writeln!(out, "candor_miss_after_miss_ratio {share}")?;
    }
    Ok(())
}

fn histograms(out: &mut String, counts: &Counts) -> std::fmt::Result {
    let meters = &counts.meters;
    let seconds = |us: u64| us as f64 / 1e6;
    let edges = LATENCY_EDGES_US.map(seconds);
    let help = "Seconds of the engine's work on a frame.";
    histogram(out, "candor_engine_seconds", help, &edges, &meters.engine_us, 1e-6)?;
    let help = "Seconds from a frame's arrival to its finding.";
    histogram(out, "candor_age_seconds", help, &edges, &meters.age_us, 1e-6)?;
    head(out, "candor_age_seconds_max", "gauge", "Greatest age of a finding.")?;
    writeln!(out, "candor_age_seconds_max {}", seconds(meters.age_us_max))?;
    let help = "Joint out-of-distribution score of frames.";
    histogram(out, "candor_ood_score", help, &OOD_EDGES, &meters.ood_score, 1.0)?;
    head(out, "candor_ood_alerts_total", "counter", "Frames whose own verdict was foreign.")?;
    writeln!(out, "candor_ood_alerts_total {}", meters.ood_alerts)?;
    let edges: Vec<f64> = (1..CONFIDENCE_BINS).map(|bin| bin as f64 / CONFIDENCE_BINS as f64).collect();
    let help = "Mean confidence of frames, before any cap.";
    histogram(out, "candor_confidence", help, &edges, &meters.confidence, 1.0)
}

fn histogram<const BINS: usize>(
    out: &mut String,
    name: &str,
    help: &str,
    edges: &[f64],
    histogram: &Histogram<BINS>,
    scale: f64,
) -> std::fmt::Result {
    head(out, name, "histogram", help)?;
    let mut total = 0;
    for (edge, count) in edges.iter().zip(&histogram.bins) {
        total += count;
        writeln!(out, "{name}_bucket{{le=\"{edge}\"}} {total}")?;
    }
    let count = histogram.count();
    writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}")?;
    writeln!(out, "{name}_sum {}\n{name}_count {count}", histogram.sum * scale)
}

fn conclusions(out: &mut String, counts: &Counts) -> std::fmt::Result {
    head(out, "candor_alert_active", "gauge", "1 while the alert's condition holds.")?;
    for (reason, (standing, ..)) in Reason::ALL.iter().zip(&counts.alerts) {
        let active = u8::from(standing.holds());
        writeln!(out, "candor_alert_active{{reason=\"{}\"}} {active}", reason.name())?;
    }
    head(out, "candor_alerts_raised_total", "counter", "Times that an alert was raised.")?;
    for (reason, (_, raised, _)) in Reason::ALL.iter().zip(&counts.alerts) {
        writeln!(out, "candor_alerts_raised_total{{reason=\"{}\"}} {raised}", reason.name())?;
    }
    head(
        out,
        "candor_confidence_cap",
        "gauge",
        "Greatest confidence that is stated; 1 while calibration holds.",
    )?;
    writeln!(out, "candor_confidence_cap {}", f64::from(counts.cap) / 65535.0)?;
    head(out, "candor_drift_evidence", "gauge", "Evidence of drift, and the evidence that raises an alarm.")?;
    writeln!(out, "candor_drift_evidence {}", counts.evidence)?;
    head(out, "candor_drift_evidence_limit", "gauge", "Evidence that raises an alarm.")?;
    writeln!(out, "candor_drift_evidence_limit {}", counts.evidence_limit)?;
    head(out, "candor_drift_block_frames", "gauge", "Frames of a decorrelated block; 0 during warm-up.")?;
    writeln!(out, "candor_drift_block_frames {}", counts.block)
}

fn resources(out: &mut String, identity: &Identity, counts: &Counts) -> std::fmt::Result {
    head(out, "candor_memory_bytes", "gauge", "Bytes held beyond the package.")?;
    writeln!(out, "candor_memory_bytes {}", counts.bytes)?;
    if let Some(budget) = identity.memory_budget {
        head(out, "candor_memory_budget_bytes", "gauge", "Bytes that a session may hold.")?;
        writeln!(out, "candor_memory_budget_bytes {budget}")?;
    }
    if let Some(deadline_us) = identity.deadline_us {
        head(out, "candor_deadline_seconds", "gauge", "Greatest age of a finding in time.")?;
        writeln!(out, "candor_deadline_seconds {}", deadline_us as f64 / 1e6)?;
    }
    head(
        out,
        "candor_log_lines_total",
        "counter",
        "Lines of the event log; the chain value seals them all.",
    )?;
    writeln!(out, "candor_log_lines_total {}", counts.log_lines)?;
    head(out, "candor_log_info", "gauge", "Chain value of the log's last line.")?;
    writeln!(out, "candor_log_info{{chain=\"{}\"}} 1", hex(&counts.log_link))?;
    head(
        out,
        "candor_log_outstanding",
        "gauge",
        "Lines that the storage refused and that are not told yet.",
    )?;
    writeln!(out, "candor_log_outstanding {}", counts.log_outstanding)
}
