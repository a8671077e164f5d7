// Draws the state of a stream again and again; asks nobody but the server that it came from.
"use strict";

const byId = (id) => document.getElementById(id);
const shown = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));

function fill(table, rows) {
  table.replaceChildren(...rows.map(([name, value, bad]) => {
    const row = document.createElement("tr");
    if (bad) row.className = "bad";
    for (const text of [name, value]) {
      const cell = document.createElement("td");
      cell.textContent = text;
      row.append(cell);
    }
    return row;
  }));
}

// One timeline: values over frames, a dashed line at the limit, red where `marked`.
function draw(canvas, values, { limit, low, high, unit, marked }) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const known = values.filter((value) => value !== null);
  if (limit !== null && limit !== undefined) known.push(limit);
  const bottom = Math.min(low, ...known);
  const top = Math.max(high, ...known) || 1;
  const style = getComputedStyle(document.body);
  const y = (value) => 8 + (height - 16) * (1 - (value - bottom) / (top - bottom || 1));
  const x = (index) => 46 + (width - 52) * (values.length < 2 ? 0 : index / (values.length - 1));
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = style.getPropertyValue("--soft");
  pen.textAlign = "right";
  for (const value of [bottom, top]) pen.fillText(value.toPrecision(3) + unit, 42, y(value) + 4);
  if (limit !== null && limit !== undefined) {
    pen.strokeStyle = "#d97706";
    pen.setLineDash([5, 4]);
    pen.beginPath();
    pen.moveTo(46, y(limit));
    pen.lineTo(width - 6, y(limit));
    pen.stroke();
    pen.setLineDash([]);
    pen.fillStyle = "#d97706";
    pen.textAlign = "left";
    pen.fillText("limit", 50, y(limit) - 3);
  }
  pen.strokeStyle = "#2563eb";
  pen.lineWidth = 1.4;
  pen.beginPath();
  let open = false;
  values.forEach((value, index) => {
    if (value === null) {
      open = false;
    } else {
      if (open) pen.lineTo(x(index), y(value));
      else pen.moveTo(x(index), y(value));
      open = true;
    }
  });
  pen.stroke();
  pen.fillStyle = "#dc2626";
  values.forEach((value, index) => {
    if (value !== null && marked(index)) pen.fillRect(x(index) - 1.5, y(value) - 1.5, 3, 3);
  });
}

function status(state) {
  const counts = state.counts;
  const own = byId("status");
  if (!counts) return;
  const active = counts.alerts.filter((alert) => alert.standing !== "normal").map((alert) => alert.reason);
  own.className = active.length ? counts.worst : "good";
  const worth = counts.validity === "valid" ? "calibration holds" : `calibration ${counts.validity}`;
  own.textContent = active.length ? `${active.join(", ")} · ${worth}` : `no alert · ${worth}`;
}

function tables(state) {
  const { counts } = state;
  if (!counts) return;
  const { ledger } = counts;
  fill(byId("alerts"), counts.alerts.length
    ? counts.alerts.map((alert) => [
      alert.reason,
      `${alert.standing}${alert.stale ? ", stale" : ""} · raised ${alert.raised}×`,
      alert.standing === "active",
    ])
    : [["none so far", ""]]);
  fill(byId("ledger"), [
    ["arrived", ledger.arrived],
    ["processed", ledger.processed],
    ["superseded", ledger.superseded],
    ["rejected", ledger.rejected],
    ["late", ledger.late],
    ["longest run of misses", ledger.longest_miss],
    ["counts add up", counts.reconciles ? "yes" : "NO", !counts.reconciles],
  ]);
  const { drift } = counts;
  fill(byId("state"), [
    ["confidence at most", shown(counts.cap, 3), counts.cap < 1],
    ["drift", `${drift.phase}, evidence ${drift.evidence.toPrecision(3)} of ${drift.limit.toFixed(0)}`],
    ["frames in a block", drift.block || "–"],
    ["memory", `${(counts.bytes / 1e6).toFixed(1)} MB`],
    ["log", `${counts.log_lines} lines${counts.log_outstanding ? `, ${counts.log_outstanding} outstanding` : ""}`],
    ["kernels", state.tier],
    ["package", state.digest.slice(0, 16)],
  ]);
}

function lines(state) {
  const { points } = state;
  const foreign = (index) => points.alert[index];
  const missed = (index) => points.disposition[index] !== "processed";
  draw(byId("ood"), points.ood, { limit: state.ood_threshold, low: 0, high: 1, unit: "", marked: foreign });
  draw(byId("confidence"), points.confidence, { limit: null, low: 0, high: 1, unit: "", marked: foreign });
  const limit = state.deadline_us === null ? null : state.deadline_us / 1000;
  const ages = points.age_us.map((age) => age / 1000);
  draw(byId("age"), ages, { limit, low: 0, high: 1, unit: " ms", marked: missed });
}

function legend(state) {
  const own = byId("legend");
  if (own.dataset.done || !state.classes.length) return;
  own.dataset.done = "yes";
  state.classes.forEach((name, index) => {
    if (index === 0) return;
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = `rgb(${state.colours[index].join(" ")})`;
    own.append(swatch, name);
  });
}

let round = 0;

async function show() {
  try {
    const answer = await fetch("state.json");
    const state = await answer.json();
    byId("name").textContent = state.name ? `Candor · ${state.name}` : "Candor";
    status(state);
    tables(state);
    lines(state);
    legend(state);
    round += 1;
    byId("overlay").src = `overlay.png?${round}`;
    byId("heat").src = `confidence.png?${round}`;
  } catch {
    byId("status").className = "lost";
    byId("status").textContent = "the stream does not answer";
  }
  setTimeout(show, 500);
}

show();
