"""The drift detector written a second time, from its description, with NumPy and brute force.

Usage: drift.py SERIES OUT.npy [SEED]   writes a series by name and prints what the detector should find, as JSON

Ranks are taken by comparing with a list of all earlier values, correlations by numpy.corrcoef over slices,
and the Simple Jumper is summed over all times at which a part of it began. Nothing is shared with the runtime
but the constants of the description.
"""

import json
import sys

import numpy

WARMUP, HORIZON, SHARE, SEED = 2000, 10_000, 0.01, 0xCA4D0
REFERENCE_BLOCKS, STRETCH, PAIRS_MIN = 8, 16, 64
TIE, TIME, REFERENCE = 0, 1 << 16, 1 << 17
JUMP, PATIENCE, SHIFTS, SPREAD = 0.01, 64, (2.0, 6.0, 24.0), 8.0
MASK = (1 << 64) - 1


def series(name, seed):
    """A recorded series of scores."""
    random = numpy.random.default_rng(seed)
    frames = {"shift": 40_000, "still": 20_000, "slow": 60_000, "ramp": 30_000, "ties": 20_000}[name]
    phi = {"shift": 0.5, "still": 0.9, "slow": 0.98, "ramp": 0.0, "ties": 0.3}[name]
    noise = random.normal(size=frames) * numpy.sqrt(1 - phi * phi)
    values = numpy.empty(frames)
    last = random.normal()
    for frame in range(frames):
        last = phi * last + noise[frame]
        values[frame] = last
    time = numpy.arange(frames)
    if name == "shift":
        values[30_000:] += 1.0
    if name == "ramp":
        values += numpy.clip((time - 12_000) / 5000, 0, 2)
    if name == "ties":
        values = numpy.round(values)
        values[15_000:] = numpy.round(2.5 * values[15_000:])
    return 7.0 + 0.01 * values


def chance(number, purpose):
    """A number in (0, 1) by seed, number and purpose."""
    z = SEED
    for word in (number, purpose):
        z = (z + word + 0x9E3779B97F4A7C15) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        z ^= z >> 31
    return ((z >> 12) + 0.5) / 2**52


def correlation(values, octave):
    """Correlation at lag 2^octave of the series thinned to that lag, and the number of pairs."""
    thin = values[:: 2**octave]
    pairs = len(thin) - 1
    if pairs < 2 or thin[:-1].std() == 0 or thin[1:].std() == 0:
        return 0.0, max(pairs, 0)
    return numpy.corrcoef(thin[:-1], thin[1:])[0, 1], pairs


def block_length(values):
    """Frames between values that are as good as uncorrelated."""
    length = 1
    for octave in range(11):
        r, pairs = correlation(values, octave)
        if pairs < 16:
            break
        error = 1 / numpy.sqrt(pairs)
        if octave > 0 and r <= 3 * error:
            continue
        phi = numpy.clip(r + 2 * error * (1 - r * r), 0, 0.9999) ** (1 / 2**octave)
        length = max(length, min(int(numpy.ceil(3 / (1 - phi))), 4096))
    return length


def edges(centre, scale):
    """Borders between the 512 bins: eight to an octave outside 4 deviations, 1/48 deviation each inside."""
    tail = [4 * 2 ** (place // 8) * (1 + place % 8 / 8) for place in range(64)]
    core = [-4 + step / 48 for step in range(1, 384)]
    outside = numpy.array(tail)
    return centre + scale * numpy.concatenate([-outside[::-1], core, outside])


def odds(u, ratio):
    return ratio / (u + ratio * (1 - u)) ** 2


def densities(u):
    shifts = [f for ratio in SHIFTS for f in (odds(u, ratio), odds(1 - u, ratio))]
    return numpy.array(shifts + [(odds(u, SPREAD) + odds(1 - u, SPREAD)) / 2])


class Evidence:
    """Every jumper and every restarted bet on its own, one row for each time at which it began."""

    def __init__(self):
        self.jumpers = numpy.zeros((0, 3))
        self.restarted = numpy.zeros((0, 7))

    def bet(self, u):
        n = len(self.jumpers)
        stake = PATIENCE / ((n + PATIENCE) * (n + PATIENCE + 1))
        # A part that begins now starts evenly; the others let one in a hundred change sides first.
        moved = (1 - JUMP) * self.jumpers + JUMP * self.jumpers.mean(axis=1, keepdims=True)
        moved = numpy.vstack([moved, numpy.full((1, 3), stake / 3)])
        self.jumpers = moved * (1 + numpy.array([-1, 0, 1]) * (u - 0.5))
        self.restarted = numpy.vstack([self.restarted, numpy.ones((1, 7))]) * densities(u)

    def value(self):
        return self.jumpers.sum() / 2 + self.restarted.sum() / (2 * 7 * HORIZON)


def gap(block, number, purpose):
    """Frames from the end of one block to the end of the next."""
    return block + int(chance(number, purpose) * block)


def warm_up(values):
    """Frames of the warm-up, block length, and the block means that ranks begin with."""
    end = WARMUP // 2
    block = block_length(values[:end])
    means = []
    while True:
        window = -(-block // 3)
        following = end + gap(block, len(means), REFERENCE)
        limit = STRETCH * WARMUP
        # The first frame at which both the stated length and enough blocks are there.
        enough = len(means) >= REFERENCE_BLOCKS
        if enough and following > WARMUP or following > limit:
            end = max(WARMUP, end) if enough else limit
            longer = block_length(values[:end])
            if 4 * longer > 5 * block and end < limit:
                block, means = longer, []
                continue
            return end, block, numpy.array(means)
        end = following
        means.append(values[end - window : end].mean())


def detect(values):
    """Block length, first alarm and greatest evidence up to it."""
    end, block, reference = warm_up(values)
    pilot = values[: WARMUP // 2 - 1]
    borders = edges(pilot.mean(), pilot.std())
    past = list(numpy.searchsorted(borders, reference, side="right"))
    evidence, greatest, blocks, alarm = Evidence(), 0.0, 0, None
    frame, ranks, window = end, [], -(-block // 3)
    while True:
        frame += gap(block, blocks, TIME)
        if frame > len(values):
            break
        blocks += 1
        own = int(numpy.searchsorted(borders, values[frame - window : frame].mean(), side="right"))
        earlier = numpy.array(past)
        u = ((earlier < own).sum() + chance(blocks, TIE) * ((earlier == own).sum() + 1)) / (len(past) + 1)
        past.append(own)
        ranks.append(u - 0.5)
        evidence.bet(u)
        greatest = max(greatest, evidence.value())
        if evidence.value() * SHARE >= 1:
            alarm = frame - 1
            break
        pairs = len(ranks) - 1
        if pairs >= PAIRS_MIN and 12 * numpy.dot(ranks[1:], ranks[:-1]) > 3.5 * numpy.sqrt(pairs):
            block, ranks = min(2 * block, 4096), []
    return {"block": block, "blocks": blocks, "alarm": alarm, "evidence_max": greatest}


def main():
    values = series(sys.argv[1], int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    numpy.save(sys.argv[2], values)
    print(json.dumps(detect(values)))


if __name__ == "__main__":
    main()
