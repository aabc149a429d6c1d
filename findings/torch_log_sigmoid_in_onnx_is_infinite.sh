#!/usr/bin/env bash
# PyTorch: `torch.nn.functional.logsigmoid`, a log-probability, in float32, exported to ONNX and run by onnxruntime, from far
# below 0 to far above.
#
# Guess before it was run: the same to rounding. It is one op that is written so that it neither overflows nor loses
# digits, and ONNX has Softplus to say it with.
# Seen: what is written to the file is Log(Sigmoid(x)), and onnxruntime's Sigmoid is exactly 0 long before float32 ends: at
# -20 already the result is -inf, where PyTorch has -20; at 25 it is 0, where PyTorch has -e^-25. A rare class has no
# likelihood any more, without a word. `-softplus(-x)` is the same function and comes through.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 onnxscript==0.7.2 torch==2.13.0
FOLDER=$folder "$folder/bin/python" -W ignore - <<'PYTHON'
import os

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F

print("torch", torch.__version__, "onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
x = torch.tensor([[-120.0], [-20.0], [-1.0], [3.0], [25.0]])


class LogSigmoid(torch.nn.Module):
    def forward(self, x):
        return F.logsigmoid(x)


class ByHand(torch.nn.Module):
    def forward(self, x):
        return -F.softplus(-x)


def exported(module):
    path = os.path.join(os.environ["FOLDER"], "model.onnx")
    torch.onnx.export(module.eval(), (x,), path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    ops = [node.op_type for node in onnx.load(path).graph.node]
    return session.run(None, {session.get_inputs()[0].name: x.numpy()})[0].ravel(), ops


truth = F.logsigmoid(x).numpy().ravel()
found, ops = exported(LogSigmoid())
by_hand, _ = exported(ByHand())
print("x           ", x.numpy().ravel())
print("PyTorch     ", truth)
print("exported    ", found, ops)
print("-softplus(-x)", by_hand)
assert truth[0] == -120 and truth[4] < 0
assert found[0] == found[1] == -np.inf and found[4] == 0
assert np.allclose(found[2:4], truth[2:4], rtol=1e-5)
assert np.allclose(by_hand, truth, rtol=1e-5)
PYTHON
