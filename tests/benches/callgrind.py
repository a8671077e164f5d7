#!/usr/bin/env python3
"""Counts instructions of one frame of the embedded package, function by function, as a guard against regressions.

usage: tests/benches/callgrind.py [--bless] [--package PKG] [--top N]
Runs `candor bench` under callgrind (tier avx2, which valgrind knows) with one frame and with three; half the
difference is exactly one frame, the same on every run of the same binary. Fails when the frame takes over 5 % more
instructions than tests/benches/instructions.txt says; --bless rewrites that file. Noise cannot blur such a count, but
another compiler may move it: bless it then, in a commit that says so.
Uses the candor binary named by CANDOR, or target/release/candor. Needs valgrind (tests/setup.sh installs it).
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

CANDOR = os.environ.get("CANDOR", "target/release/candor")
SNAPSHOT = pathlib.Path(__file__).with_name("instructions.txt")
ALLOWED = 1.05


def counts(package, frames, folder):
    """Instructions of each function in one run."""
    out = f"{folder}/callgrind.{frames}"
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", CANDOR, "bench", package,
               "--tier", "avx2", "--frames", str(frames)]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(run.stderr)
    listing = subprocess.run(["callgrind_annotate", "--threshold=100", out], capture_output=True, text=True).stdout
    found = {}
    for line in listing.splitlines():
        match = re.match(r"\s*([\d,]+) \(\s*[\d.]+%\)\s+\S+?:(.+?)(?: \[|$)", line)
        if match:
            name = match.group(2).strip()
            found[name] = found.get(name, 0) + int(match.group(1).replace(",", ""))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bless", action="store_true")
    parser.add_argument("--package", default="models/packages/phantom.candor")
    parser.add_argument("--top", type=int, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        one, three = (counts(options.package, frames, folder) for frames in (1, 3))
    frame = {name: (three[name] - one.get(name, 0)) // 2 for name in three}
    total = sum(frame.values())
    print(f"{total:>14,}  instructions a frame, tier avx2")
    for name, count in sorted(frame.items(), key=lambda item: -item[1])[:options.top]:
        print(f"{count:>14,}  {name[:90]}")
    if options.bless:
        SNAPSHOT.write_text(f"{total}\n")
        return
    stated = int(SNAPSHOT.read_text())
    print(f"{stated:>14,}  stated: {total / stated:.3f} times that")
    if total > stated * ALLOWED:
        sys.exit(f"a frame takes {total / stated:.2f} times the instructions that {SNAPSHOT} states")


main()
