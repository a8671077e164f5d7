#!/usr/bin/env python3
"""Prints one table: model x tier x threads with latency, share of the roof, peak memory and arena.

usage: tests/benches/table.py PACKAGE... [--tiers avx2,avx512vnni] [--threads 1,2] [--frames 60] [--rounds 3]
                              [--peers PYTHON SCRIPT MODELS]
Every row is the median over rounds of the median latency of `candor bench`. With --peers each round also times
OpenVINO on MODELS/NAME.onnx (NAME is the package's, without its suffix) by `PYTHON SCRIPT openvino MODEL THREADS`,
in turn with the package, and the last column is the ratio of the medians, Candor over OpenVINO.
Uses the candor binary named by CANDOR, or target/release/candor.
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess

CANDOR = os.environ.get("CANDOR", "target/release/candor")


def bench(package, tier, threads, frames):
    """The JSON of one run of `candor bench`, or None where the tier is absent."""
    command = [CANDOR, "bench", package, "--json", "--threads", str(threads), "--frames", str(frames)]
    run = subprocess.run(command + (["--tier", tier] if tier else []), capture_output=True, text=True)
    if run.returncode == 5:
        return None
    if run.returncode:
        raise SystemExit(run.stderr.strip())
    return json.loads(run.stdout)


def peer(python, script, model, threads, frames):
    """Median milliseconds of OpenVINO on one model."""
    command = [python, script, "openvino", model, str(threads), str(frames)]
    run = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"median\s+([\d.]+) ms", run.stdout)
    if not found:
        raise SystemExit(run.stdout + run.stderr)
    return float(found.group(1))


def row(package, tier, threads, options):
    """One line of the table."""
    own, others, last = [], [], None
    for _ in range(options.rounds):
        last = bench(package, tier, threads, options.frames)
        if last is None:
            return
        own.append(last["latency_ms"]["median"])
        if options.peers:
            python, script, models = options.peers
            model = str(pathlib.Path(models) / (pathlib.Path(package).stem + ".onnx"))
            others.append(peer(python, script, model, threads, options.frames))
    latency = statistics.median(own)
    roof = last["roof_gmac_s"]
    share = f"{last['macs'] / latency / 1e6 / roof:.2f}" if roof else "-"
    memory, arena = (last[key] / (1 << 20) for key in ("peak_rss_bytes", "arena_bytes"))
    cells = [pathlib.Path(package).stem, last["tier"], str(threads), f"{latency:.2f}", share, f"{memory:.1f}",
             f"{arena:.2f}", f"{last['allocations_per_frame']:.0f}"]
    if others:
        theirs = statistics.median(others)
        cells += [f"{theirs:.2f}", f"{latency / theirs:.2f}"]
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+")
    parser.add_argument("--tiers", default="")
    parser.add_argument("--threads", default="1")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs=3, metavar=("PYTHON", "SCRIPT", "MODELS"))
    options = parser.parse_args()
    heads = ["model", "tier", "threads", "ms", "of roof", "RSS MiB", "arena MiB", "allocations"]
    heads += ["OpenVINO ms", "ratio"] if options.peers else []
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for package in options.packages:
        for tier in options.tiers.split(","):
            for threads in options.threads.split(","):
                row(package, tier, int(threads), options)


main()
