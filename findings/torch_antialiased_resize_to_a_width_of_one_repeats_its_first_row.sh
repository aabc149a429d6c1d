#!/usr/bin/env bash
# PyTorch: torch.nn.functional.interpolate(..., antialias=True) resizes an image along both axes, as Pillow does: each row
# is averaged over the columns, then the rows are mixed. A profile of an image along its height is one to a width of 1.
#
# Guess before it was run: the means of the rows, from the top to the bottom.
# Seen: where the new width is 1 every entry of the new column is made of the first row alone, in bilinear and bicubic
# mode, in float32 and float64, with one channel or three. A width of 2, a height of 1, and the same without antialias are
# right, and so is the transposed image to a height of 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install torch==2.13.0 numpy==2.4.6
"$folder/bin/python" - <<'PYTHON'
import torch
from torch.nn.functional import interpolate

print("torch", torch.__version__)
image = torch.arange(64.0).reshape(1, 1, 8, 8)
print("rows of 8 numbers from 0 to 63; their means:", image.mean(3).flatten().tolist())
for mode in ("bilinear", "bicubic"):
    for dtype in (torch.float32, torch.float64):
        given = image.to(dtype)
        profile = interpolate(given, size=(8, 1), mode=mode, antialias=True).flatten()
        shrunk = interpolate(given, size=(4, 1), mode=mode, antialias=True).flatten()
        grown = interpolate(given, size=(16, 1), mode=mode, antialias=True).flatten()
        turned = interpolate(given.mT, size=(1, 4), mode=mode, antialias=True).flatten()
        two = interpolate(given, size=(4, 2), mode=mode, antialias=True)[0, 0, :, 0]
        print(mode, str(dtype)[6:])
        print("  to (8, 1):", profile.tolist())
        print("  to (4, 1):", shrunk.tolist())
        print("  the transposed image to (1, 4):", turned.tolist())
        print("  to (4, 2), its first column:", two.tolist())
        assert all(torch.allclose(column, column[0].expand_as(column)) for column in (shrunk, grown))
        assert torch.all(turned.diff() > 5) and torch.all(two.diff() > 5)
        assert torch.allclose(profile, given.mean(3).flatten(), atol=1.0)
PYTHON
