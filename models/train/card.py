"""Figures and words of models/risk/card.md, and the file of thresholds."""

import numpy as np

import score
from contract import COUNT, HORIZONS, WINDOW

# In the order in which the card lists them.
ORDER = ["blend", "model", "model, no record seen", "logistic regression", "network", "rule", "extrapolated headroom", "static headroom", "z-score",
         "time since start", "clock only"]
SEEDS = 200     # of the bootstrap over episodes
# What tells probabilities and no mere scores.
PROBABILITIES = ["blend", "model", "model, no record seen", "logistic regression", "network", "rule"]


def figures(sets: dict, compared: dict) -> dict:
    out = {"levels": {}, "scores": {}, "alarms": {}, "interval": {}}
    own = {name: [score.labels(e) for e in sets[name]] for name in compared}

    def scored(where: str, what: str, j: int):
        return [(s[:, j], counts, e.start)
                for s, (_, counts), e in zip(compared[where][what], own[where], sets[where])]

    for what in compared["thresholds"]:
        out["levels"][what] = [score.choose(scored("thresholds", what, j), h) for j, h in enumerate(HORIZONS)]
    for where in compared:
        if where == "thresholds":
            continue
        for what, risks in compared[where].items():
            flat = np.concatenate([s[counts] for s, (_, counts) in zip(risks, own[where])])
            y = np.concatenate([y[counts] for y, counts in own[where]])
            for j, h in enumerate(HORIZONS):
                entry = {"base": float(y[:, j].mean()), "pr": score.average_precision(y[:, j], flat[:, j])}
                if what in PROBABILITIES:
                    entry |= {"skill": score.brier_skill(y[:, j], flat[:, j]), "ece": score.calibration_error(y[:, j], flat[:, j])}
                out["scores"][where, what, h] = entry
                level = out["levels"].get(what) or out["levels"]["model"]
                out["alarms"][where, what, h] = score.alarms(scored(where, what, j), level[j], h)
        for other in ("static headroom", "extrapolated headroom", "rule"):
            out["interval"][where, other] = interval(compared[where], own[where], other)
    seen = [e for e in sets["test"] if e.start is None or e.visible]
    at = [i for i, e in enumerate(sets["test"]) if e.start is None or e.visible]
    flat = np.concatenate([compared["test"]["model"][i][own["test"][i][1]] for i in at])
    y = np.concatenate([own["test"][i][0][own["test"][i][1]] for i in at])
    out["visible"] = {h: score.average_precision(y[:, j], flat[:, j]) for j, h in enumerate(HORIZONS)}
    out["visible_failures"] = sum(e.start is not None for e in seen)
    return out


def interval(risks: dict, own: list, other: str) -> tuple[float, float]:
    """Where the model's lead in PR-AUC over another lies at 15 steps: 5 % and 95 % of a bootstrap over whole episodes."""
    rng, leads = np.random.default_rng(3), []
    j = HORIZONS.index(15)
    parts = [(y[counts, j], m[counts, j], o[counts, j])
             for (y, counts), m, o in zip(own, risks["model"], risks[other])]
    for _ in range(SEEDS):
        some = [parts[i] for i in rng.integers(0, len(parts), len(parts))]
        y, m, o = (np.concatenate(column) for column in zip(*some))
        if y.any():
            leads.append(score.average_precision(y, m) - score.average_precision(y, o))
    return float(np.quantile(leads, 0.05)), float(np.quantile(leads, 0.95))


def table(found: dict, where: str) -> str:
    head = "| | " + " | ".join(f"{h} steps" for h in HORIZONS) + " |\n|---|" + "---|" * len(HORIZONS)
    some = [found["scores"][where, "model", h]["base"] for h in HORIZONS]
    lines = [head, "| base rate | " + " | ".join(f"{b:.4f}" for b in some) + " |"]
    for what in ORDER:
        if (where, what, HORIZONS[0]) in found["scores"]:
            cells = (found["scores"][where, what, h] for h in HORIZONS)
            lines.append(f"| {what} | " + " | ".join(f"{c['pr']:.3f} ({c['pr'] / c['base']:.1f}×)" for c in cells) + " |")
    return "\n".join(lines)


def alarm_table(found: dict, where: str) -> str:
    lines = ["| | horizon | found | recall | false alarms a day of steps | median lead |", "|---|---|---|---|---|---|"]
    for what in ("blend", "model", "rule", "extrapolated headroom", "static headroom"):
        for h in HORIZONS:
            a = found["alarms"][where, what, h]
            lead = "–" if np.isnan(a["lead"]) else f"{a['lead']:.0f}"
            lines.append(f"| {what} | {h} | {a['found']} of {a['failures']} | {100 * a['recall']:.0f} % "
                         f"| {a['false_a_day']:.2f} | {lead} |")
    return "\n".join(lines)


def probability_table(found: dict, where: str) -> str:
    lines = ["| | horizon | Brier skill | calibration error |", "|---|---|---|---|"]
    for what in PROBABILITIES:
        for h in HORIZONS:
            s = found["scores"].get((where, what, h))
            if s is None:
                continue
            lines.append(f"| {what} | {h} | {s['skill']:.2f} | {s['ece']:.3f} |")
    return "\n".join(lines)


def sensible(levels: list[float]) -> list[float]:
    """Levels beyond what can be an alarm would never be one."""
    return [min(max(level, 0.01), 0.99) for level in levels]


def thresholds(levels: dict) -> str:
    text = ["# Levels at which an alarm begins, one for each horizon of models/features.toml. Written by `make train`.",
            "#",
            "# Each is the lowest that kept to one false alarm per 1,440 steps and store, on generated episodes that the model",
            "# neither learned from nor is scored on. Where failures are rarer than there, lower the risk and not the level.",
            ""]
    for name, words in (("blend", "The greater of rule and model."), ("rule", "The rule alone, when there is no model.")):
        values = ", ".join(f"{level:.4f}" for level in levels[name])
        text += [f"# {words}", f"[{name}]", f"enter = [{values}]", ""]
    return "\n".join(text).rstrip() + "\n"


def describe(sets: dict) -> str:
    lines = ["| set | episodes | steps | failures | of these, resource measured | for |", "|---|---|---|---|---|---|"]
    what = {"train": "learning", "select": "choosing the kind and the epoch", "calibrate": "Platt's scale and shift", "thresholds": "levels of alarms",
            "test": "figures", "shifted": "figures: shapes, noise and mixtures that training never had",
            "records": "learning, and figures by a split of lanes"}
    for name, words in what.items():
        if name in sets:
            some = sets[name]
            failed = [e for e in some if e.start is not None]
            lines.append(f"| {name} | {len(some)} | {sum(len(e.rows) for e in some)} | {len(failed)} "
                         f"| {sum(e.visible for e in failed)} | {words} |")
    return "\n".join(lines)


def lead(found: dict, where: str) -> str:
    words = []
    for other in ("static headroom", "extrapolated headroom", "rule"):
        low, high = found["interval"][where, other]
        words.append(f"{low:+.2f} to {high:+.2f} over {other}")
    return "; ".join(words)


def text(found: dict, sets: dict, learned: int, chosen: str, held_out: dict) -> str:
    real = ""
    if "records" in sets:
        real = f"""
## Figures: a real redis-server

{len(sets["records"])} episodes of a real redis-server, one step a second, {sum(e.start is not None for e in sets["records"])} failures. The model of this
table was trained twice, each time without the half of the lanes that it is scored on; "no record seen" learned from generated
episodes alone. With so few failures a difference of a tenth is noise.

{table(found, "records")}

Lead of the model in PR-AUC at 15 steps (bootstrap over episodes, 5 % to 95 %): {lead(found, "records")}.

{alarm_table(found, "records")}

{probability_table(found, "records")}
"""
    what = {"network": "a network of two small layers", "logistic regression": "a logistic regression for each horizon"}[chosen]
    choice = ", ".join(f"{kind} {quality:.3f}" for kind, quality in held_out.items())
    visible = ", ".join(f"{found['visible'][h]:.3f}" for h in HORIZONS)
    return f"""# Card of the model in this folder

Written by `make train`; every figure is from the run that wrote `model.onnx`.

**What it says.** The probability that a store fails by exhaustion within {", ".join(map(str, HORIZONS[:-1]))} and {HORIZONS[-1]} steps (minutes, at the usual step): memory,
connections, disk, memory of the machine or CPU that run out, and queries that pile up. Failed means that clients see 5 % errors or
a 99th percentile of 250 ms for three steps in a row. Abrupt failures (power, kernel, network) have no signs, and are in the sets
so that the figures count them.

**What it is.** {WINDOW} rows of {COUNT} values in (`models/features.toml`); masked levels, trends over three spans, noise and headroom
pooled in the graph; {what}; Platt's calibration; a maximum that keeps risks from falling with the horizon. The kind was
chosen by the mean PR-AUC on the set "select": {choice}. The other one stands in the tables beside it. It learned from {learned} windows of generated episodes, and from real records where they were there.

**What it is for.** To be blended with the rule (`proxy/predict/src/headroom.rs`): the greater of the two counts. To raise alarms whose
cost is next to nothing. Not for anything that must not be wrong.

## Data, split by episode

{describe(sets)}

The generator (`models/train/generate.py`) is ours, and so is its idea of what stores do. Faults and look-alikes share shapes and
durations and differ only in where the path ends (beyond the limit, or up to 0.99 of it); caches live at their limit and evict;
some faults are repaired on the way, and nothing tells that from the outside. Sources, features and readings are missing at random:
of a failure whose resource isn't measured nothing can be seen, and it counts all the same.

## Figures: generated episodes never seen

PR-AUC, and how many times the base rate that is. 1.0× is what a coin does.

{table(found, "test")}

Lead of the model in PR-AUC at 15 steps (bootstrap over episodes, 5 % to 95 %): {lead(found, "test")}.
With the failures left out that nothing measured could show ({found["visible_failures"]} remain): {visible}.

Alarms at levels chosen on other episodes, for one false alarm in 1,440 steps. A false alarm is one that no failure follows within
the horizon; alarms within 30 steps of the first are one. No point-adjust.

{alarm_table(found, "test")}

{probability_table(found, "test")}

## Figures: shifted

Shapes of paths that training never had, twice the noise, more faults at once.

{table(found, "shifted")}

Lead of the model in PR-AUC at 15 steps: {lead(found, "shifted")}.

{alarm_table(found, "shifted")}
{real}
## Limits

- Generated episodes say how well the model knows the generator. What holds on real stores is for their records to say; until
  then the rule and a policy of `observe` are the honest defaults.
- It has not learned any store's own clock or noise. Most of what looked like prediction on public data was the clock
  (cron jobs, backups), and that is for a store's own record to teach.
- Probabilities fit the base rates of the training set (in the metadata, as `base_rate_*`). Where failures are rarer, and they are,
  they are too high until `Calibration` moves them.
- No PostgreSQL, no certificates, no replication slots: the contract has no rows for them yet.
- Time-compressed records don't compress timeouts, fsync and fork times.
"""
