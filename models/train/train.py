"""One command from nothing to models/risk: `make train`.

Generates episodes, adds real records when they are there, trains, calibrates, chooses thresholds, scores on episodes that were
never seen, and writes model.onnx, thresholds.toml, golden.json, card.md, sweep.json and sweep.svg. Each set has a seed of its own;
nothing is ever split by row. The same inputs give the same files, byte for byte, on the same machine.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")     # sums in another order are other sums

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

import card
import generate
import golden
import graph
import records
import rule
import score
import sweep
from contract import COUNT, HORIZONS, MISSING, ROOT, WINDOW, windows

OUT = ROOT / "risk"
# Set: seed, episodes. A figure of the card comes from "test" and "shifted", which nothing else looks at.
SETS = {"train": (11, 16000), "select": (12, 900), "calibrate": (13, 900), "thresholds": (14, 600), "test": (15, 900),
        "shifted": (16, 450)}
EVERY = 10              # of the steps of an episode, those that are learned from: neighbours say the same
SHORTENED = 0.15        # share of windows that are learned from with a shortened history
RECORD_WEIGHT = 2       # how often the steps of a real record are learned from
EPOCHS = 16
HIDDEN = (32, 16)

BATCH = 512             # windows that are pooled at once: few enough for the caches

POOLING = ReferenceEvaluator(graph.pooling())


def pool(x: np.ndarray) -> np.ndarray:
    parts = [POOLING.run(None, {"x": np.ascontiguousarray(x[i:i + BATCH])})[0] for i in range(0, len(x), BATCH)]
    return np.concatenate(parts)


def learnable(episodes, rng, every: int) -> tuple[np.ndarray, np.ndarray]:
    """Pooled windows and labels of the steps that are learned from."""
    xs, ys, waiting = [], [], []

    def flush():
        if waiting:
            xs.append(pool(np.concatenate(waiting)))
            waiting.clear()

    for e in episodes:
        y, counts = score.labels(e)
        # A trend of three readings is worth learning about too, so the warm-up is not left out here.
        counts[3:score.WARM] = e.start is None or e.start > score.WARM
        at = np.flatnonzero(counts)[int(rng.integers(every))::every]
        if not len(at):
            continue
        x = windows(e.rows)[at].copy()
        for k in np.flatnonzero(rng.random(len(at)) < SHORTENED):
            x[k, : WINDOW - int(rng.integers(3, WINDOW))] = MISSING
        waiting.append(x)
        ys.append(y[at])
        if sum(map(len, waiting)) >= BATCH:
            flush()
    flush()
    if not xs:
        return np.empty((0, 0), np.float32), np.empty((0, len(HORIZONS)), np.int8)
    return np.concatenate(xs), np.concatenate(ys)


def standard(scaling, x: np.ndarray) -> np.ndarray:
    mean, deviation = scaling
    return np.clip((x - mean) / deviation, -graph.FAR, graph.FAR).astype(np.float32)


def logits(layers, x: np.ndarray) -> np.ndarray:
    """The network's answer to standardised values."""
    for place, (weights, bias) in enumerate(layers):
        x = (np.maximum(x, 0) if place else x) @ weights + bias
    return x


def quality(layers, x, y) -> float:
    z = logits(layers, x)
    return float(np.mean([score.average_precision(y[:, j], z[:, j]) for j in range(len(HORIZONS))]))


def fit_linear(x, y):
    fits = [LogisticRegression(C=0.02, max_iter=300).fit(x, y[:, j]) for j in range(len(HORIZONS))]
    return [(np.concatenate([f.coef_ for f in fits]).T, np.concatenate([f.intercept_ for f in fits]))]


def fit_network(x, y, held):
    """A small network; of its epochs the one that does best on episodes it doesn't learn from."""
    net = MLPClassifier(HIDDEN, alpha=0.03, batch_size=512, learning_rate_init=5e-4, random_state=0)
    best = (-1.0, None)
    for _ in range(EPOCHS):
        net.partial_fit(x, y, classes=np.arange(len(HORIZONS)))
        layers = [(w.copy(), b.copy()) for w, b in zip(net.coefs_, net.intercepts_)]
        best = max(best, (quality(layers, *held), layers), key=lambda pair: pair[0])
    return best[1]


def platt(layers, x, y) -> np.ndarray:
    """Scale and shift of the log-odds of each horizon (Platt 1999)."""
    z = logits(layers, x)
    fits = [LogisticRegression(C=1e6).fit(z[:, [j]], y[:, j]) for j in range(len(HORIZONS))]
    return np.array([[f.coef_[0, 0] for f in fits], [f.intercept_[0] for f in fits]])


def judged(model: onnx.ModelProto, episodes) -> list[np.ndarray]:
    run = ReferenceEvaluator(model)
    return [run.run(None, {"x": np.ascontiguousarray(windows(e.rows))})[0].astype(np.float64) for e in episodes]


def ruled(episodes) -> list[np.ndarray]:
    """The rule at the steps that are scored."""
    out = []
    for e in episodes:
        risks = np.zeros((len(e.rows), len(HORIZONS)))
        for t in range(score.WARM, len(e.rows) if e.start is None else e.start):
            risks[t] = rule.risk(e.rows[max(0, t + 1 - WINDOW):t + 1]) or 0.0
        out.append(risks)
    return out


def everything(model, episodes, known: dict[str, np.ndarray]) -> dict[str, list[np.ndarray]]:
    """Scores of all that is compared, per episode."""
    out = {"model": judged(model, episodes), "rule": ruled(episodes)}
    out["blend"] = [np.maximum(a, b) for a, b in zip(out["model"], out["rule"])]
    out["static headroom"] = [score.static_headroom(e) for e in episodes]
    out["extrapolated headroom"] = [score.extrapolated_headroom(e) for e in episodes]
    out["z-score"] = [score.z_score(e) for e in episodes]
    out["clock only"] = [known["clock"][score.clock(e)] for e in episodes]
    out["time since start"] = [known["age"][score.age(e)] for e in episodes]
    return out


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true", help="a tenth of everything, to try a change; writes to --out")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--records", type=Path, default=records.FOLDER, help="folder of real records; none is needed")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    began, rng = time.monotonic(), np.random.default_rng(7)

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {text}", flush=True)

    share = 10 if options.small else 1
    sets = {name: generate.episodes(seed, count // share, shifted=name == "shifted")
            for name, (seed, count) in SETS.items()}
    real = records.episodes(options.records)
    say(f"{sum(map(len, sets.values()))} episodes, {len(real)} real records")

    x, y = learnable(sets["train"], rng, EVERY)
    select, calibrate = learnable(sets["select"], rng, 4), learnable(sets["calibrate"], rng, 1)
    scaling = (x.mean(0), x.std(0) + 1e-3)
    say(f"{len(x)} windows of {x.shape[1]} pooled values, base rates {y.mean(0).round(4).tolist()}")
    x = standard(scaling, x)
    select, calibrate = ((standard(scaling, a), b) for a, b in (select, calibrate))

    fits = {"logistic regression": fit_linear, "network": lambda x, y: fit_network(x, y, select)}

    def learn(kind, some):
        """Layers that have learned from the generated episodes and these records."""
        extra, labels = learnable(some, np.random.default_rng(8), 1)
        more = [standard(scaling, extra)] * RECORD_WEIGHT if len(extra) else []
        return fits[kind](np.concatenate([x, *more]), np.concatenate([y] + [labels] * len(more)))

    # The better one on episodes that neither learned from is the model; the other one is scored beside it.
    learned = {kind: learn(kind, real) for kind in fits}
    held_out = {kind: quality(layers, *select) for kind, layers in learned.items()}
    chosen = max(held_out, key=held_out.get)
    other = next(kind for kind in fits if kind != chosen)
    say(f"on held-out episodes: {', '.join(f'{kind} {q:.3f}' for kind, q in held_out.items())}")
    base = {f"base_rate_{h}": f"{rate:.6f}" for h, rate in zip(HORIZONS, calibrate[1].mean(0))}
    metadata = {"contract": "1", "horizons": ",".join(map(str, HORIZONS)), **base}

    def complete(layers):
        return graph.complete(scaling, layers, platt(layers, *calibrate), metadata)

    model, beside = complete(learned[chosen]), complete(learned[other])

    known = {"clock": score.learn_by(score.clock, sets["train"]), "age": score.learn_by(score.age, sets["train"])}
    compared = {name: everything(model, sets[name], known) for name in ("thresholds", "test", "shifted")}
    for name in compared:
        compared[name][other] = judged(beside, sets[name])
    say("scored on generated episodes")

    folds = []
    if real:
        halves = [[e for e in real if records.lane(e) in lanes] for lanes in (("L0", "L2", "L5", "L7"), ("L1", "L4", "L6"))]
        scored = dict(zip([e.name for e in real], judged(complete(learn(chosen, [])), real)))
        never = [scored[e.name] for e in real]
        for ours, others in (halves, halves[::-1]):
            folds += list(zip([e.name for e in ours], judged(complete(learn(chosen, others)), ours)))
        folds = dict(folds)
        compared["records"] = everything(model, real, known)
        compared["records"]["model"] = [folds[e.name] for e in real]
        compared["records"]["blend"] = [np.maximum(a, b) for a, b in zip(compared["records"]["model"], compared["records"]["rule"])]
        compared["records"]["model, no record seen"] = never
        sets["records"] = real
        say("scored on real records")

    figures = card.figures(sets, compared)
    levels = {name: card.sensible(figures["levels"][name]) for name in ("blend", "rule")}
    # Whoever loads the model from a file has its levels with it.
    entries = {f"enter_{h}": f"{level:.4f}" for h, level in zip(HORIZONS, levels["blend"])}
    onnx.helper.set_model_props(model, {**{p.key: p.value for p in model.metadata_props}, **entries})
    swept = {name: sweep.sweep([(s, score.labels(e)[1], e.start) for s, e in zip(compared["test"][name], sets["test"])],
                               levels[name]) for name in levels}
    options.out.mkdir(parents=True, exist_ok=True)
    onnx.save(model, options.out / "model.onnx")
    (options.out / "thresholds.toml").write_text(card.thresholds(levels))
    cases = golden.cases(model, sets["test"], real)
    (options.out / "golden.json").write_text(json.dumps(cases, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")
    (options.out / "sweep.json").write_text(json.dumps({**swept, "table": sweep.table(swept["blend"])}, indent=1) + "\n")
    (options.out / "sweep.svg").write_text(sweep.plot({"rule and model": swept["blend"], "rule alone": swept["rule"]}))
    (options.out / "card.md").write_text(card.text(figures, sets, len(x), chosen, held_out))
    say(f"wrote {options.out}: model {(options.out / 'model.onnx').stat().st_size} bytes")
    print(card.table(figures, "test"))


if __name__ == "__main__":
    main()
