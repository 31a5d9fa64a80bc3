"""The graph of the model: rows in, risks out. Scaling, pooling, network and calibration are all in it.

The pooling exists only here: training runs this very graph (with the reference evaluator of onnx) to get what the network
learns from, so that no second implementation can differ from it.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from contract import AT, COUNT, DIGEST, HEADROOM, HORIZONS, LIMIT, LINEAR, LOGARITHM, WINDOW

OPSET = 17
SPANS = [6, 15, 60]
SLOPE_RIDGE = 0.002      # holds a slope of few points near zero
LEFT_LEAST = 0.01        # headroom below this counts as this: a time to the limit stays finite
NEAR = [0.8, 0.95]       # levels above which nearness begins to count
FAR = 8.0                # standard deviations beyond which a pooled value tells nothing more


class Graph:
    """Collects nodes and constants; a name for each value."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, value, dtype=np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, name: str | None = None, **attributes) -> str:
        name = name or f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def mul(self, a, b): return self.op("Mul", a, b)
    def add(self, a, b): return self.op("Add", a, b)
    def sub(self, a, b): return self.op("Sub", a, b)
    def div(self, a, b): return self.op("Div", a, b)
    def relu(self, a): return self.op("Relu", a)
    def scale(self, a, by: float): return self.mul(a, self.constant(by))
    def shift(self, a, by: float): return self.add(a, self.constant(by))
    def log1p(self, a): return self.op("Log", self.shift(a, 1.0))
    def columns(self, a, places): return self.op("Gather", a, self.constant(places, np.int64), axis=1)


def pooled(g: Graph) -> str:
    """x [N, WINDOW, COUNT] to pooled [N, P]."""
    known = g.op("Clip", g.shift("x", 1.0), g.constant(0.0), g.constant(1.0))    # -1 is 0, what isn't negative is 1
    raw = g.relu("x")
    value = g.add(g.mul(raw, g.constant(LINEAR)), g.mul(g.log1p(raw), g.constant(LOGARITHM)))
    value = g.op("Transpose", value, perm=[0, 2, 1])
    known = g.op("Transpose", known, perm=[0, 2, 1])

    ago = np.arange(WINDOW - 1, -1, -1)
    decay = 0.5 ** (ago / 1.5)
    decay /= decay.sum()

    def totals(what: str, weights: list[np.ndarray]) -> list[str]:
        """Weighted sums over time, each [N, COUNT], by one product."""
        sums = g.op("MatMul", what, g.constant(np.stack(weights, 1)))
        return [g.op("Gather", sums, g.constant(place, np.int64), axis=2) for place in range(len(weights))]

    # What each span is weighed with: once, by time, by time squared. Time is counted from the middle of the span.
    spans = {}
    for span in SPANS:
        inside = (ago < span).astype(float) / span
        t = ((span - 1) / 2 - ago) / span
        spans[span] = [inside, inside * t, inside * t**2]
    weight_now, *of_known = totals(known, [decay, *(weights for span in SPANS for weights in spans[span])])
    of_known = dict(zip(SPANS, (of_known[i:i + 3] for i in range(0, len(of_known), 3))))

    # The level of late falls back on older readings when the newest are unknown.
    [level] = totals(value, [decay])
    now = g.div(level, g.shift(weight_now, 1e-6))
    present = g.op("Clip", g.scale(weight_now, 2.0), g.constant(0.0), g.constant(1.0))

    # From here on values count from the level of late: differences of sums of large numbers would be noise in single
    # precision, and not the same noise here and where the model runs. Unknown ones are zero.
    value = g.mul(known, g.sub(value, g.op("Unsqueeze", now, g.constant([2], np.int64))))
    of_value = totals(value, [weights for span in SPANS for weights in spans[span][:2]])
    of_value = dict(zip(SPANS, (of_value[i:i + 2] for i in range(0, len(of_value), 2))))

    slopes, parts = {}, [now, present]
    for span in SPANS:
        (s1, st, stt), (sv, stv) = of_known[span], of_value[span]
        over = g.shift(g.sub(g.mul(s1, stt), g.mul(st, st)), SLOPE_RIDGE)
        slope = g.div(g.sub(g.mul(s1, stv), g.mul(st, sv)), over)                # change over the span
        slopes[span] = g.scale(slope, 1.0 / span)                                # change a step
        parts.append(slope)
        mean = g.div(sv, g.shift(s1, 1e-6))
        if span == 15:
            [square] = totals(g.mul(value, value), [spans[span][0]])
            square = g.div(square, g.shift(s1, 1e-6))
            variance = g.relu(g.sub(square, g.mul(mean, mean)))
            parts.append(g.op("Sqrt", g.shift(variance, 1e-6)))
            late = g.op("Slice", value, g.constant([WINDOW - 15], np.int64), g.constant([WINDOW], np.int64),
                        g.constant([2], np.int64))
            parts.append(g.op("ReduceMax", late, axes=[2], keepdims=0))
        if span == 60:
            parts.append(g.op("Neg", mean))
            parts.append(g.op("Clip", s1, g.constant(0.0), g.constant(1.0)))

    # Headroom: time to the limit, and nearness to it. Memory that is evicted has no end.
    gates = np.zeros((COUNT, len(HEADROOM)))
    gates[AT["memory_evicts"], HEADROOM.index(AT["memory_ratio"])] = 1.0
    hard = g.sub(g.constant(1.0), g.op("MatMul", now, g.constant(gates)))
    used = g.columns(now, HEADROOM)
    left = g.op("Max", g.sub(g.constant(LIMIT), used), g.constant(LEFT_LEAST))
    of_headroom = []
    for span in SPANS:
        rise = g.relu(g.columns(slopes[span], HEADROOM))
        of_headroom.append(g.log1p(g.scale(g.div(rise, left), 30.0)))            # of the longest horizon, the part used up
    for level in NEAR:
        of_headroom.append(g.scale(g.relu(g.shift(used, -level)), 1.0 / (1 - level)))
    for horizon in HORIZONS:
        ahead = g.add(used, g.scale(g.columns(slopes[15], HEADROOM), float(horizon)))
        of_headroom.append(g.op("Clip", g.shift(ahead, -0.7), g.constant(0.0), g.constant(1.0)))
    for part in of_headroom:
        gated = g.mul(part, hard)
        parts += [gated, g.op("ReduceMax", gated, axes=[1], keepdims=1)]
    return g.op("Concat", *parts, name="pooled", axis=1)


def finish(g: Graph, output: str, width: int | str, metadata: dict[str, str]) -> onnx.ModelProto:
    """Closes the graph, checks it and gives it its metadata."""
    graph = helper.make_graph(
        g.nodes, "risk",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", WINDOW, COUNT])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", width])],
        g.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8,
                              producer_name="foretoken")
    helper.set_model_props(model, {"features_sha256": DIGEST, **metadata})
    onnx.checker.check_model(model, full_check=True)
    return model


def pooling() -> onnx.ModelProto:
    g = Graph()
    return finish(g, pooled(g), "P", {})


def complete(scaling, layers, platt: np.ndarray, metadata: dict[str, str]) -> onnx.ModelProto:
    """Pooling, standardising (mean, deviation), the layers (weights [in, out], bias [out]; Relu between), Platt's scale and
    shift per horizon, and risks that don't fall with the horizon."""
    g = Graph()
    value = pooled(g)
    mean, deviation = scaling
    value = g.div(g.sub(value, g.constant(mean)), g.constant(deviation))
    value = g.op("Clip", value, g.constant(-FAR), g.constant(FAR))
    for place, (weights, bias) in enumerate(layers):
        if place:
            value = g.relu(value)
        value = g.add(g.op("MatMul", value, g.constant(weights)), g.constant(bias))
    value = g.add(g.mul(value, g.constant(platt[0])), g.constant(platt[1]))
    # Odds beyond e^15 are nothing that anybody has learned, and exp() of much more is no number.
    value = g.op("Sigmoid", g.op("Clip", value, g.constant(-15.0), g.constant(15.0)))
    one, two, three = (g.columns(value, [place]) for place in range(3))
    two = g.op("Max", one, two)
    three = g.op("Max", two, three)
    g.op("Concat", one, two, three, name="risk", axis=1)
    return finish(g, "risk", len(HORIZONS), metadata)
