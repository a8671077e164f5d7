"""Recomputes the figures of candor-lab independently with numpy, scikit-learn and scipy, and compares.

Usage: metrics_oracle.py CASES.json   (written by models/lab/tests/metrics_oracle.rs)

Prints one line per figure: how many values were compared and the largest difference. Exits 1 when any
value differs by more than 1e-6, absolutely or relative to its size, whichever is larger.
"""

import json
import sys
from collections import defaultdict

import numpy as np
from scipy import ndimage, optimize, special, stats
from sklearn import isotonic, linear_model, metrics

TOLERANCE = 1e-6
FULL = 65535
compared = defaultdict(int)
largest = defaultdict(float)
failures = []


def compare(figure, case, found, expected):
    """Compares scalars or lists; None stands for an undefined figure."""
    if isinstance(expected, (list, tuple, np.ndarray)):
        if len(found) != len(expected):
            failures.append(f"{case['name']}: {figure} has {len(found)} values, not {len(expected)}")
            return
        for f, e in zip(found, expected):
            compare(figure, case, f, e)
        return
    compared[figure] += 1
    if found is None or expected is None:
        if found is not None or expected is not None:
            failures.append(f"{case['name']}: {figure} is {found}, expected {expected}")
        return
    difference = abs(float(found) - float(expected)) / max(1.0, abs(float(expected)))
    largest[figure] = max(largest[figure], difference)
    if not difference <= TOLERANCE:
        failures.append(f"{case['name']}: {figure} is {found}, expected {expected}")


def mean_or_none(values):
    values = [v for v in values if v is not None]
    return float(np.mean(values)) if values else None


def bin_table(probability, hit, bins):
    """(count, mean probability, mean hit) of the non-empty bins ((k, k+1]/bins], 0 in the first."""
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.digitize(probability, edges, right=True) - 1, 0, bins - 1)
    return [
        ((index == k).sum(), probability[index == k].mean(), hit[index == k].mean())
        for k in range(bins)
        if (index == k).any()
    ]


def ece(probability, hit, bins=15):
    if len(probability) == 0:
        return None
    rows = bin_table(probability, hit, bins)
    return sum(n * abs(p - a) for n, p, a in rows) / len(probability)


def adaptive_ece(probability, hit, bins=15):
    ordered = np.sort(probability)
    ranks = [-(-k * len(ordered) // bins) for k in range(1, bins + 1)]
    ends = ordered[np.array(ranks) - 1]
    index = np.searchsorted(ends, probability, side="left")
    gaps = [abs((probability[index == k] - hit[index == k]).sum()) for k in range(bins)]
    return sum(gaps) / len(probability)


def aurc(confidence, wrong):
    """Expected risk over random orders within ties: errors spread evenly over each tie."""
    risks, covered, errors = [], 0, 0.0
    for value in np.unique(confidence)[::-1]:
        tie = wrong[confidence == value]
        steps = np.arange(1, len(tie) + 1)
        risks.extend((errors + tie.sum() * steps / len(tie)) / (covered + steps))
        covered, errors = covered + len(tie), errors + tie.sum()
    return np.mean(risks)


def hd95(predicted, truth):
    if not predicted.any() and not truth.any():
        return None
    if not predicted.any() or not truth.any():
        return float(np.hypot(*truth.shape))
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (predicted, truth)]
    to = [ndimage.distance_transform_edt(~surface) for surface in surfaces]
    return max(np.percentile(to[1][surfaces[0]], 95), np.percentile(to[0][surfaces[1]], 95))


def band(truth, radius):
    """Pixels with another label within a Chebyshev distance of `radius`."""
    size = 2 * radius + 1
    return ndimage.maximum_filter(truth, size, mode="nearest") != ndimage.minimum_filter(
        truth, size, mode="nearest"
    )


def bias(probability, truth):
    return float((probability.sum() - truth.sum()) / truth.sum()) if truth.any() else None


def frame_figures(case, frame):
    """Per-frame figures, and the arrays the pooled ones need."""
    classes, height, width = case["shape"]
    p = np.array(frame["probabilities"], dtype=np.float64).reshape(classes, height, width) / FULL
    predicted = np.array(frame["predicted"]).reshape(height, width)
    truth = np.array(frame["truth"]).reshape(height, width)
    confidence = np.take_along_axis(p, predicted[None], 0)[0]
    likelihood = np.take_along_axis(p, truth[None], 0)[0]
    per_class = defaultdict(list)
    for c in range(classes):
        a, b = predicted == c, truth == c
        either = (a | b).sum()
        per_class["dice"].append(2 * (a & b).sum() / (a.sum() + b.sum()) if either else None)
        per_class["iou"].append((a & b).sum() / either if either else None)
        per_class["hd95"].append(hd95(a, b))
        gaps = [abs(q - y) for _, q, y in bin_table(p[c].ravel(), b.ravel(), 20)]
        per_class["ace"].append(np.mean(gaps))
        per_class["mce"].append(np.max(gaps))
        per_class["volume_bias"].append(bias(p[c], b))
    foreground = truth != 0
    hit = predicted == truth
    scores = frame["scores"]
    for name, values in per_class.items():
        compare(f"frame {name}", case, scores[name]["classes"], values)
        compare(f"frame {name} mean", case, scores[name]["mean"], mean_or_none(values[1:]))
    compare("frame ece", case, scores["ece"], ece(confidence.ravel(), hit.ravel()))
    own = ece(confidence[foreground], hit[foreground])
    compare("frame ece_foreground", case, scores["ece_foreground"], own)
    compare("boundary band", case, frame["boundary"], band(truth, 2).ravel())
    one_hot = np.stack([truth == c for c in range(classes)])
    compare("frame brier", case, scores["brier"], ((p - one_hot) ** 2).sum(0).mean())
    compare("frame nll", case, scores["nll"], -np.log(np.maximum(likelihood, 1 / FULL)).mean())
    compare("frame confidence", case, scores["confidence"], confidence.mean())
    return {
        "p": p.reshape(classes, -1), "truth": truth.ravel(), "confidence": confidence.ravel(),
        "hit": hit.ravel(), "likelihood": likelihood.ravel(), "band": band(truth, 2).ravel(),
        "foreground": foreground.ravel(), "per_class": per_class, "ece_foreground": own,
    }


def frames(case):
    classes = case["shape"][0]
    parts = [frame_figures(case, frame) for frame in case["frames"]]
    summary = case["summary"]
    for name in ("dice", "iou", "hd95", "ace", "mce"):
        values = [mean_or_none([part["per_class"][name][c] for part in parts]) for c in range(classes)]
        compare(name, case, summary[name]["classes"], values)
        compare(f"{name} mean", case, summary[name]["mean"], mean_or_none(values[1:]))
    pool = {key: np.concatenate([part[key] for part in parts], axis=-1)
            for key in ("p", "truth", "confidence", "hit", "likelihood", "band", "foreground")}
    confidence, hit, on = pool["confidence"], pool["hit"], pool["foreground"]
    compare("ece", case, summary["ece"], ece(confidence, hit))
    compare("ece_boundary", case, summary["ece_boundary"], ece(confidence[pool["band"]], hit[pool["band"]]))
    compare("ece_foreground_pooled", case, summary["ece_foreground_pooled"], ece(confidence[on], hit[on]))
    weights = [part["foreground"].sum() for part in parts]
    own = [part["ece_foreground"] or 0.0 for part in parts]
    weighted = np.dot(weights, own) / sum(weights) if sum(weights) else None
    compare("ece_foreground", case, summary["ece_foreground"], weighted)
    compare("ece_adaptive", case, summary["ece_adaptive"], adaptive_ece(confidence, hit))
    one_hot = np.stack([pool["truth"] == c for c in range(classes)])
    classwise = np.mean([ece(pool["p"][c], one_hot[c]) for c in range(classes)])
    compare("ece_classwise", case, summary["ece_classwise"], classwise)
    over = sum(n * q * max(q - a, 0) for n, q, a in bin_table(confidence, hit, 15)) / len(hit)
    compare("overconfidence", case, summary["overconfidence"], over)
    compare("aurc", case, summary["aurc"], aurc(confidence, ~hit))
    biases = [bias(pool["p"][c], one_hot[c]) for c in range(classes)]
    compare("volume_bias", case, summary["volume_bias"]["classes"], biases)
    surprise = -np.log(np.maximum(pool["likelihood"], 1 / FULL))
    foreground = surprise[on].mean() if on.any() else None
    compare("nll_foreground", case, summary["nll_foreground"], foreground)
    compare("nll_foreground_term", case, summary["nll_foreground_term"], surprise[on].sum() / len(surprise))
    if classes == 2:
        # scikit-learn's own figures; its Brier score counts one of the two equal squares.
        p, y = np.clip(pool["p"][1], 1 / FULL, 1 - 1 / FULL), pool["truth"]
        if pool["p"].min() >= 1 / FULL:
            compare("nll (sklearn)", case, summary["nll"], metrics.log_loss(y, p, labels=[0, 1]))
        brier = 2 * metrics.brier_score_loss(y, pool["p"][1], pos_label=1) if len(set(y)) == 2 else None
        if brier is not None:
            compare("brier (sklearn)", case, summary["brier"], brier)
    compare("nll", case, summary["nll"], surprise.mean())
    compare("brier", case, summary["brier"], ((pool["p"] - one_hot) ** 2).sum(0).mean())


def ranking(case):
    negatives, positives = np.array(case["negatives"]), np.array(case["positives"])
    labels = np.r_[np.zeros(len(negatives)), np.ones(len(positives))]
    scores = np.r_[negatives, positives]
    compare("auroc (sklearn)", case, case["auroc"], metrics.roc_auc_score(labels, scores))
    fpr, tpr, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    compare("fpr95 (sklearn)", case, case["fpr95"], fpr[tpr >= 0.95][0])
    paired = min(len(negatives), len(positives))
    a, b = negatives[:paired], positives[:paired]
    constant = len(set(a)) == 1 or len(set(b)) == 1
    compare("spearman (scipy)", case, case["spearman"], None if constant else stats.spearmanr(a, b).statistic)


def table_of(probability):
    return np.clip(np.round(np.clip(probability, 0, 1) * FULL), 1, FULL - 1)


def compare_table(figure, case, found, probability):
    """Tables agree when no entry is off by more than one step (of 1/65535) from the oracle's rounding."""
    off = np.abs(np.array(found, dtype=np.float64) - table_of(probability)).max()
    compared[figure] += len(found)
    largest[figure] = max(largest[figure], off / FULL)
    if off > 1:
        failures.append(f"{case['name']}: {figure} is off by {off} steps")


def beta_fit(z, y, w):
    """Bounded maximum likelihood of beta calibration, by L-BFGS-B and then Newton-type polishing."""
    x = np.stack([-np.logaddexp(0, -z), np.logaddexp(0, z), np.ones_like(z)])

    def loss(theta):
        eta = theta @ x
        slope = special.expit(eta) - y
        return (w * (np.logaddexp(0, eta) - y * eta)).sum(), (w * slope * x).sum(1)

    bounds = [(0, None), (0, None), (None, None)]
    best = None
    for start in ([1, 1, 0], [0.1, 2, 0], [2, 0.1, 0], [0, 0, 0]):
        fit = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds,
                                options={"ftol": 1e-15, "gtol": 1e-12, "maxiter": 10000})
        best = fit if best is None or fit.fun < best.fun else best
    return best.x, best.fun, loss


def calibration(case):
    rows = np.array(case["rows"], dtype=np.float64)
    step = case["step"]
    z = np.r_[rows[:, 0], rows[:, 0]]
    z = (z - 2048) * step
    y = np.r_[np.ones(len(rows)), np.zeros(len(rows))]
    w = np.r_[rows[:, 1], rows[:, 2]]
    z, y, w = z[w > 0], y[w > 0], w[w > 0]
    grid = (np.arange(4096) - 2048) * step
    identity, temperature, platt, beta, iso = case["fits"]
    compare_table("identity table", case, identity["table"], special.expit(grid))

    def nll(slope):
        return (w * (np.logaddexp(0, slope * z) - y * slope * z)).sum() / w.sum()

    slope = optimize.minimize_scalar(nll, bounds=(1 / 256, 256), method="bounded", options={"xatol": 1e-12}).x
    found = 1 / temperature["parameters"]["temperature"]["temperature"]
    compare("temperature: loss (scipy)", case, nll(found), nll(slope))
    if found > 1.001 / 256:
        # The root of the derivative; a minimum found by values alone is only good to the root of precision.
        slope = optimize.brentq(lambda s: (w * (special.expit(s * z) - y) * z).sum() / w.sum(), 1e-6, 256,
                                xtol=1e-14)
        compare("temperature (scipy)", case, 1 / found, 1 / slope)
    compare_table("temperature table", case, temperature["table"], special.expit(slope * grid))

    platt_case(case, platt["parameters"]["platt"], platt["table"], (z, y, w), grid)
    theta, best, loss = beta_fit(z, y, w)
    own = beta["parameters"]["beta"]
    ours = np.array([own["a"], own["b"], own["c"]])
    compare("beta: loss (scipy)", case, loss(ours)[0] / w.sum(), best / w.sum())
    compare("beta: bounds", case, float(min(ours[:2]) >= 0), 1.0)
    eta = ours @ np.stack([-np.logaddexp(0, -grid), np.logaddexp(0, grid), np.ones_like(grid)])
    compare_table("beta table", case, beta["table"], special.expit(eta))
    isotonic_case(case, iso["table"], (z, y, w), grid)
    for fit in case["fits"]:
        p = np.array(fit["table"]) / FULL
        q = np.interp(z, grid, p)
        compare("surprise", case, fit["surprise"] / w.sum(), metrics.log_loss(y, q, sample_weight=w))


def platt_case(case, own, table, data, grid):
    z, y, w = data
    if len(set(z)) == 1:
        # One logit: any slope fits; the probability there is the base rate.
        reached = special.expit(own["slope"] * z[0] + own["offset"])
        compare("platt: base rate", case, reached, np.average(y, weights=w))
        return
    model = linear_model.LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-13, max_iter=10000)
    model.fit(z[:, None], y, sample_weight=w)
    slope, offset = model.coef_[0, 0], model.intercept_[0]
    if slope < 0:
        slope, offset = 0.0, special.logit(np.average(y, weights=w))
    compare("platt slope (sklearn)", case, own["slope"], slope)
    compare("platt offset (sklearn)", case, own["offset"], offset)
    compare_table("platt table", case, table, special.expit(slope * grid + offset))


def isotonic_case(case, table, data, grid):
    z, y, w = data
    model = isotonic.IsotonicRegression(out_of_bounds="clip").fit(z, y, sample_weight=w)
    ends = [grid[edge] for block in case["blocks"] for edge in block[:2]]
    means = [block[2] for block in case["blocks"] for _ in range(2)]
    compare("isotonic (sklearn)", case, means, model.predict(ends))
    # The stated rule for blocks of mean 0 or 1: rule of succession, never past the neighbour.
    values = [block[2] for block in case["blocks"]]
    counts = [w[(z >= grid[block[0]]) & (z <= grid[block[1]])].sum() for block in case["blocks"]]
    if values[0] == 0:
        values[0] = min([1 / (counts[0] + 2)] + values[1:2])
    if values[-1] == 1:
        values[-1] = max([(counts[-1] + 1) / (counts[-1] + 2)] + values[-2:-1])
    compare_table("isotonic table", case, table, np.interp(grid, ends, np.repeat(values, 2)))


def multiclass(case):
    logits = np.array(case["logits"]).reshape(case["classes"], -1).T
    labels = np.array(case["labels"])

    def slope(inverse):
        p = special.softmax(inverse * logits, axis=1)
        return ((p * logits).sum(1) - logits[np.arange(len(labels)), labels]).mean()

    inverse = optimize.brentq(slope, 1 / 256, 256, xtol=1e-14)
    compare("softmax temperature (scipy)", case, case["temperature"], 1 / inverse)


def mahalanobis_scores(training, rows, channels):
    total, start = np.zeros(len(rows)), 0
    for count in channels:
        a, b = training[:, start:start + count], rows[:, start:start + count]
        start += count
        deviation = a.std(0)
        deviation = np.maximum(deviation, 0.01 * np.sqrt(np.mean(deviation**2)))
        a, b = (a - a.mean(0)) / deviation, (b - training[:, start - count:start].mean(0)) / deviation
        inverse = np.linalg.inv(a.T @ a / len(a) + 0.01 * np.eye(count))
        total += np.sqrt(np.einsum("ij,jk,ik->i", b, inverse, b) / count)
    return total / len(channels)


def mahalanobis(case):
    groups = np.array(case["groups"])
    rows = np.array(case["features"]).reshape(len(groups), -1)
    compare("mahalanobis", case, case["scores"], mahalanobis_scores(rows, rows, case["channels"]))
    fold = np.searchsorted(np.unique(groups), groups) % min(10, len(np.unique(groups)))
    held = np.zeros(len(groups))
    for k in np.unique(fold):
        held[fold == k] = mahalanobis_scores(rows[fold != k], rows[fold == k], case["channels"])
    compare("mahalanobis held out", case, case["held_out"], held)


def nearest_foreign(distance, groups):
    foreign = groups[:, None] != groups[None, :]
    return np.where(foreign, distance, np.inf).min(1)


def intensity(case):
    groups = np.array(case["groups"])
    counts = np.array(case["counts"], dtype=np.float64).reshape(len(groups), -1)
    h = counts / counts.sum(1, keepdims=True)
    a, b = h[:, None], h[None]
    with np.errstate(invalid="ignore"):
        terms = np.nan_to_num((a - b) ** 2 / (a + b))
    compare("intensity held out", case, case["held_out"], nearest_foreign(terms.sum(2) / 2, groups))


def spectrum(case):
    groups, channels = np.array(case["groups"]), case["channels"]
    x = np.array(case["activations"], dtype=np.float64).reshape(len(groups), -1, channels)
    values = np.linalg.svd(x, compute_uv=False)
    logs = np.log(np.maximum(values, values.max(1, keepdims=True) * 1e-3))
    if case["name"] == "MeanLog":
        signatures = logs - logs.mean(1, keepdims=True)
    else:
        signatures = logs / np.linalg.norm(logs, axis=1, keepdims=True)
    compare("spectral signature (svd)", case, case["signatures"], signatures.ravel())
    distance = np.linalg.norm(signatures[:, None] - signatures[None], axis=2)
    compare("spectrum held out", case, case["held_out"], nearest_foreign(distance, groups))


def verdict(case):
    held, alpha = np.array(case["held_out"]), case["alpha"]
    rank = int(np.ceil((held.shape[1] + 1) * (1 - alpha) - 1e-9))
    compare("rank threshold", case, case["thresholds"], np.sort(held, axis=1)[:, rank - 1])
    logs = np.log(np.maximum(held, 1e-9))
    ordered = np.sort(logs, axis=1)
    at = lambda share: ordered[:, int(np.floor((held.shape[1] - 1) * share + 0.5))][:, None]
    joint = np.sort(((logs - at(0.5)) / (at(0.9) - at(0.5))).mean(0))
    compare("joint score", case, case["joint"], joint)
    compare("joint threshold", case, case["threshold"], joint[rank - 1])


def exam_losses(exam, cuts):
    """Missed share of the foreground and share of wrong calls at every cut."""
    p, y = np.array([row[0] for row in exam]), np.array([row[1] for row in exam], bool)
    called = p[None] >= cuts[:, None]
    hits = (called & y).sum(1)
    missed = 1 - hits / y.sum() if y.any() else np.zeros(len(cuts))
    count = called.sum(1)
    wrong = np.where(count > 0, (count - hits) / np.maximum(count, 1), 0)
    return missed, np.maximum.accumulate(wrong[::-1])[::-1]


def thresholds(case):
    pixels = np.array([row for exam in case["exams"] for row in exam])
    p, y = pixels[:, 0], pixels[:, 1].astype(bool)
    for point in case["points"]:
        called = p >= round(point["threshold"] * FULL)
        figures = zip(("recall", "precision", "dice"), (metrics.recall_score, metrics.precision_score, metrics.f1_score))
        for name, score in figures:
            compare(f"operating {name}", case, point[name], score(y, called))
    cuts = np.arange(257) * 256
    losses = np.array([exam_losses(exam, cuts) for exam in case["exams"]]).mean(0)
    count = len(case["exams"])
    bounds = (count * losses + 1) / (count + 1)
    for own in case["controlled"]:
        fits = bounds <= own["alpha"]
        for name, level in (("missed", np.flatnonzero(fits[0])[-1]), ("wrong", np.flatnonzero(fits[1])[0])):
            row = 0 if name == "missed" else 1
            compare(f"controlled {name}", case, own[name]["threshold"], cuts[level] / FULL)
            compare(f"controlled {name} loss", case, own[name]["mean_loss"], losses[row, level])
            compare(f"controlled {name} bound", case, own[name]["bound"], bounds[row, level])


def similarity(case):
    x, y = (np.array(case[name]) - np.mean(case[name], axis=0) for name in ("first", "second"))
    alignment = lambda a, b: np.linalg.norm(b.T @ a) ** 2 / np.linalg.norm(a.T @ a) / np.linalg.norm(b.T @ b)
    compare("linear CKA", case, case["cka"], [alignment(x, y), alignment(x, x)])


KINDS = {
    "frames": frames, "ranking": ranking, "calibration": calibration, "multiclass": multiclass,
    "mahalanobis": mahalanobis, "intensity": intensity, "spectrum": spectrum, "verdict": verdict,
    "thresholds": thresholds, "similarity": similarity,
}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    for case in cases:
        KINDS[case["kind"]](case)
    for figure in compared:
        print(f"{figure:32} {compared[figure]:7} values, largest difference {largest[figure]:.1e}")
    if failures or {case["kind"] for case in cases} != set(KINDS):
        print("\n".join(failures[:40]) or "some kind of case is missing", file=sys.stderr)
        sys.exit(1)
    print(f"{len(cases)} cases, {sum(compared.values())} values: all figures agree within {TOLERANCE:g}")


if __name__ == "__main__":
    main()
