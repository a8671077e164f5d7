"""Trains the U-Net of a `candor-lab train` configuration in PyTorch, on the same frames, for a look beside it.

usage: train.py CONFIG.toml IMAGES MASKS [--threads N] [--steps N] [--seed N]

Same network, split, optimizer and schedule, augmentation of the same kinds and limits (not the same draws), all written
here with PyTorch's own operators; whatever the configuration says, the loss is cross-entropy plus Dice, and the last
weights are kept. Prints the Dice on the test frames, as `candor-lab train` defines it (mean over frames and foreground
classes), and the milliseconds of a step. Needs PyTorch, NumPy and Pillow.
"""

import argparse
import math
import pathlib
import time
import tomllib

import numpy
import torch
from PIL import Image
from torch import nn
from torch.nn import functional


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % (1 << 64)
    return value


def block(inputs, outputs):
    layers = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class Unet(nn.Module):
    def __init__(self, inputs, classes, depth, channels):
        super().__init__()
        widths = [channels << level for level in range(depth + 1)]
        self.down = nn.ModuleList(block(i, o) for i, o in zip([inputs] + widths[:-2], widths[:-1]))
        self.bottom = block(widths[-2], widths[-1])
        self.up = nn.ModuleList(block(widths[level + 1] + widths[level], widths[level]) for level in range(depth))
        self.head = nn.Conv2d(channels, classes, 1)

    def forward(self, x):
        skips = []
        for level in self.down:
            x = level(x)
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.bottom(x)
        for level in reversed(range(len(skips))):
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = self.up[level](torch.cat([x, skips[level]], 1))
        return self.head(x)


def nearest(size, other):
    """Positions in `other` of the middles of `size` pixels."""
    return numpy.minimum(((numpy.arange(size) + 0.5) * other / size).astype(int), other - 1)


def mask(path, classes):
    values = numpy.array(Image.open(path))
    return (values > 127).astype(numpy.int64) if classes == 2 else values.astype(numpy.int64)


def load(entries, masks, height, width, classes):
    images, labels = [], []
    for path in entries:
        frame = Image.open(path).convert("L")
        truth = mask(masks / path.name, classes)
        images.append(numpy.asarray(frame.resize((width, height), Image.BILINEAR), numpy.float32) / 255)
        labels.append(truth[nearest(height, truth.shape[0])][:, nearest(width, truth.shape[1])])
    return torch.tensor(numpy.stack(images))[:, None], torch.tensor(numpy.stack(labels))


def augment(x, y, limits):
    """Flips, rotation, scale, a smooth field of displacements, gain, offset and noise, drawn per sample."""
    count = len(x)

    def signed(*shape):
        return 2 * torch.rand(*shape) - 1

    angle = torch.deg2rad(limits["rotate"] * signed(count))
    zoom = 1 / (1 + limits["scale"] * signed(count))
    flips = [torch.where(torch.rand(count) < 0.5 * limits[key], -1.0, 1.0) for key in ("flip_columns", "flip_rows")]
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    zero = torch.zeros(count)
    rows = torch.stack([cos * flips[0], -sin * flips[0], zero, sin * flips[1], cos * flips[1], zero], 1)
    grid = functional.affine_grid(rows.view(count, 2, 3), list(x.shape), align_corners=False)
    field = functional.interpolate(2 * limits["elastic"] * signed(count, 2, 5, 5), size=x.shape[2:], mode="bilinear")
    grid = grid + field.permute(0, 2, 3, 1)
    x = functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
    y = functional.grid_sample(y[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=False)
    gain, offset = (limits["intensity"] * signed(2, count, 1, 1, 1)).unbind(0)
    noise = limits["noise"] * torch.rand(count, 1, 1, 1) * torch.randn_like(x)
    return (x * (1 + gain) + offset + noise).clamp(0, 1), y[:, 0].long()


def loss_of(logits, y):
    """Cross-entropy and soft Dice over all classes, a half each as one sum."""
    p = functional.softmax(logits, 1)
    truth = functional.one_hot(y, logits.shape[1]).movedim(-1, 1).float()
    overlap, sizes = 2 * (p * truth).sum((0, 2, 3)), (p + truth).sum((0, 2, 3))
    return functional.cross_entropy(logits, y) + 1 - ((overlap + 1) / (sizes + 1)).mean()


def frame_dice(predicted, truth, classes):
    """Dice of every foreground class that is in either mask."""
    for label in range(1, classes):
        a, b = predicted == label, truth == label
        yield label, (2 * (a & b).sum() / (a.sum() + b.sum()) if a.any() or b.any() else None)


def test_dice(model, entries, masks, data, classes):
    found = {label: [] for label in range(1, classes)}
    images, _ = load(entries, masks, data["height"], data["width"], classes)
    model.eval()
    with torch.no_grad():
        for path, image in zip(entries, images):
            truth = mask(masks / path.name, classes)
            small = model(image[None]).argmax(1)[0].numpy()
            shape = [nearest(truth.shape[0], small.shape[0]), nearest(truth.shape[1], small.shape[1])]
            for label, value in frame_dice(small[shape[0]][:, shape[1]], truth, classes):
                if value is not None:
                    found[label].append(value)
    means = {label: float(numpy.mean(values)) for label, values in found.items() if values}
    return sum(means.values()) / len(means), means


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=pathlib.Path)
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("masks", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = tomllib.loads(options.config.read_text())
    network, data, training = config["network"], config["data"], config["training"]
    assert (network["kind"], network["norm"]) == ("unet", "batch")
    assert (training["schedule"], data["channels"]) == ("cosine", 1)
    classes, steps = len(data["classes"]), options.steps or training["steps"]
    paths = sorted(options.images.glob("*.png"))
    part = {path: fnv1a(path.stem[: data["group"]] if data["group"] else path.stem) % 5 for path in paths}
    train, test = [p for p in paths if part[p] > 1], [p for p in paths if part[p] == 0]
    x, y = load(train, options.masks, data["height"], data["width"], classes)
    torch.manual_seed(training["seed"] if options.seed is None else options.seed)
    model = Unet(1, classes, network["depth"], network["channels"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=training["learning_rate"], weight_decay=0.0)
    order, spent = torch.empty(0, dtype=torch.long), []
    for step in range(steps):
        if len(order) < training["batch"]:
            order = torch.cat([order, torch.randperm(len(x))])
        own, order = order[: training["batch"]], order[training["batch"] :]
        rise = min(1.0, (step + 1) / training["warm_up"]) if training["warm_up"] else 1.0
        for group in optimizer.param_groups:
            group["lr"] = training["learning_rate"] * rise * 0.5 * (1 + math.cos(math.pi * step / steps))
        images, labels = augment(x[own], y[own], config["augmentation"])
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = loss_of(model(images), labels)
        loss.backward()
        optimizer.step()
        spent.append(time.perf_counter() - start)
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}: loss {loss.item():.4f}", flush=True)
    dice, each = test_dice(model, test, options.masks, data, classes)
    print(f"{len(train)} training and {len(test)} test frames, PyTorch {torch.__version__}")
    print(f"Dice {dice:.4f} (by class {', '.join(f'{label}: {value:.4f}' for label, value in each.items())})")
    print(f"{1000 * numpy.median(spent):.1f} ms a step without augmentation, {options.threads} threads")


if __name__ == "__main__":
    main()
