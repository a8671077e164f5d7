#!/usr/bin/env python3
"""Prints one table of a GPU: self-test, latency, throughput and memory of packages beside PyTorch on the same models.

usage: tests/benches/gpu.py MODELS.py PACKAGE... [--device cuda] [--frames 300] [--long 10000]

MODELS.py has a function `models()` that yields (name, module, input shape); a PACKAGE belongs to the model whose name
its own begins with. Per package, in one run: `candor selftest` on the device, the median latency of `candor bench` at
batch one with transfers; PyTorch in half precision, channels last, as a CUDA graph and by torch.compile, each with its
transfers; frames a second of four processes at once; and the device memory of the process early and late in a long
run. Then every layer of every package alone: its time, and its share of the roof that bounds it, of the matrix units
or of the memory, both measured on the device. With --device candle-cpu PyTorch runs in single precision on one
thread: that checks this script, not a device.
Uses the candor binary named by CANDOR, or target/release/candor; it must be built with the device's feature.
"""
import argparse
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import torch

CANDOR = os.environ.get("CANDOR", "target/release/candor")
STREAMS = 4


def candor(*arguments):
    """Standard output of one run; its failure ends this one."""
    run = subprocess.run([CANDOR, *arguments], capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"candor {' '.join(arguments)}: {run.stderr.strip()}")
    return run.stdout


def start(package, options, frames):
    command = [CANDOR, "bench", package, "--device", options.device, "--frames", str(frames), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def latency(process):
    output = process.communicate()[0]
    if process.returncode:
        raise SystemExit(f"candor bench ends with {process.returncode}")
    return json.loads(output)["latency_ms"]["median"]


def device_memory(pid):
    """MiB of device memory of a process; None while the driver does not know it."""
    query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    rows = subprocess.run(query, capture_output=True, text=True).stdout.splitlines()
    found = [row.split(",") for row in rows if row.split(",")[0].strip() == str(pid)]
    return int(found[0][1]) if found else None


def long_run(package, options):
    """The first and the last reading of the process's device memory, in MiB."""
    process = start(package, options, options.long)
    readings = []
    while process.poll() is None:
        reading = device_memory(process.pid) if options.device.startswith("cuda") else None
        readings += [] if reading is None else [reading]
        time.sleep(0.2)
    latency(process)
    # The first second loads the plan.
    settled = readings[5:] or readings
    return f"{settled[0]} -> {settled[-1]}" if settled else "-"


def timed(run, frames):
    for _ in range(20):
        run()
    spent = []
    for _ in range(frames):
        begin = time.perf_counter()
        run()
        spent.append(1000 * (time.perf_counter() - begin))
    return statistics.median(spent)


def on_cuda(model, shape, frames):
    """Milliseconds of a graph, and of a compiled model, from a frame in host memory to a mask there."""
    torch.backends.cudnn.benchmark = True
    model = model.half().cuda().to(memory_format=torch.channels_last)
    frame = torch.randn(shape).half().pin_memory()
    image = torch.empty(shape, dtype=torch.half, device="cuda").to(memory_format=torch.channels_last)
    mask = torch.empty(model(image).argmax(1).shape, dtype=torch.uint8).pin_memory()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(5):
            model(image)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        labels = model(image).argmax(1).to(torch.uint8)
    compiled = torch.compile(lambda x: model(x).argmax(1).to(torch.uint8), mode="max-autotune")

    def replay():
        image.copy_(frame, non_blocking=True)
        graph.replay()
        mask.copy_(labels, non_blocking=True)
        torch.cuda.synchronize()

    def call():
        image.copy_(frame, non_blocking=True)
        mask.copy_(compiled(image), non_blocking=True)
        torch.cuda.synchronize()

    return timed(replay, frames), timed(call, frames)


def peers(model, shape, options):
    model = model.eval()
    with torch.no_grad():
        if options.device.startswith("cuda"):
            return on_cuda(model, shape, options.frames)
        torch.set_num_threads(1)
        image = torch.randn(shape)
        return timed(lambda: model(image).argmax(1), options.frames), None


def row(package, model, shape, options):
    candor("selftest", package, "--device", options.device)
    own = latency(start(package, options, options.frames))
    together = [start(package, options, options.frames) for _ in range(STREAMS)]
    throughput = sum(1000 / latency(process) for process in together)
    graph, compiled = peers(model, shape, options)
    best = min(time for time in (graph, compiled) if time is not None)
    cells = [pathlib.Path(package).stem, "same bytes", f"{own:.3f}", f"{graph:.3f}",
             "-" if compiled is None else f"{compiled:.3f}", f"{own / best:.2f}", f"{throughput:.0f}",
             long_run(package, options)]
    print("| " + " | ".join(cells) + " |", flush=True)


def load_models(path):
    """What `models()` of a Python file yields; a file that writes somewhere is given an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        kept, sys.argv = sys.argv, [path, folder]
        spec = importlib.util.spec_from_file_location("models", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found = list(module.models())
        sys.argv = kept
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models")
    parser.add_argument("packages", nargs="+")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--long", type=int, default=10_000)
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("SKIPPED gpu: PyTorch finds no CUDA device", file=sys.stderr)
        raise SystemExit(1 if "gpu" in os.environ.get("CANDOR_REQUIRE", "").split(",") else 0)
    print("| package | self-test | candor ms | PyTorch graph ms | compiled ms | ratio to the faster | frames/s of "
          f"{STREAMS} | device MiB |\n|---|---|---|---|---|---|---|---|")
    measured = []
    for name, model, shape in load_models(options.models):
        for package in options.packages:
            if pathlib.Path(package).stem.startswith(name):
                row(package, model, shape, options)
                measured.append(package)
    for package in measured:
        print(f"\n{package}, layer by layer:")
        print(candor("bench", package, "--device", options.device, "--frames", "10", "--layers"), end="", flush=True)


if __name__ == "__main__":
    main()
