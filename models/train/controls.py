"""models/controls: models that keep the contract and are of no use. What works with them works without a model.

`python3 controls.py` writes them again after a change of the contract.
"""

import numpy as np
import onnx

import graph
from contract import COUNT, HORIZONS, ROOT, WINDOW

OUT = ROOT / "controls"


def zero() -> onnx.ModelProto:
    """Says 0 of every window."""
    g = graph.Graph()
    most = g.op("ReduceMax", "x", axes=[1, 2], keepdims=0)
    one = g.op("Unsqueeze", g.op("Mul", most, g.constant(0.0)), g.constant([1], np.int64))
    g.op("Concat", *[one] * len(HORIZONS), name="risk", axis=1)
    return graph.finish(g, "risk", len(HORIZONS), {"contract": "1"})


def slow() -> onnx.ModelProto:
    """Says one half of every window, after some 10^10 additions that nothing can leave out."""
    g = graph.Graph()
    side = WINDOW * COUNT
    flat = g.op("Tanh", g.op("Reshape", "x", g.constant([-1, side, 1], np.int64)))
    square = g.op("MatMul", flat, g.op("Transpose", flat, perm=[0, 2, 1]))
    for _ in range(2):
        square = g.op("Tanh", g.op("MatMul", square, square))
    # Bounded, and a hair beside one half at most.
    most = g.scale(g.op("ReduceMax", square, axes=[1, 2], keepdims=0), 1e-6)
    one = g.op("Unsqueeze", g.op("Sigmoid", most), g.constant([1], np.int64))
    g.op("Concat", *[one] * len(HORIZONS), name="risk", axis=1)
    return graph.finish(g, "risk", len(HORIZONS), {"contract": "1"})


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for name, model in [("zero", zero()), ("slow", slow())]:
        onnx.save(model, OUT / f"{name}.onnx")
