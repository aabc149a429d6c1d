"""The Curvature tab of a log as a file; see `keras_curvature_page.one_file`."""

from __future__ import annotations

import os
from pathlib import Path


def to_html(
    log_dir: str | os.PathLike[str], path: str | os.PathLike[str], *, force: bool = False
) -> Path:
    """Writes the Curvature tab of all runs of a log as a single file.

    It opens in any browser of the last three years, without a server, the network or this library,
    and has what the tab has: runs side by side, the slider, both themes, pictures and tables to
    save, verdict and diagnosis. A log that is still being written is taken as far as it is there.
    A broken record is left out and named, on the page and by a UserWarning.
    Curves have all digits of float32; where the file would be larger than 3 MB five, and the page
    says so.

    Args:
        log_dir: directory on this machine with logs of `CurvatureMonitor`, those of one run or of
            many.
        path: of the file to write.
        force: write over a file that is there.

    Returns:
        The path.

    Raises:
        ValueError: for a directory without such logs.
        NotADirectoryError: where there is no such directory.
        FileExistsError: for a file that is there, without `force`.
        OSError: if the file cannot be written; what was there stays as it was.

    Example:
        >>> import os, tempfile
        >>> import keras, numpy as np, keras_curvature as kc
        >>> x = np.linspace(0, 1, 32)[:, None]
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> folder = tempfile.mkdtemp()
        >>> monitor = kc.CurvatureMonitor((x, x**2), log_dir=os.path.join(folder, "run1"))
        >>> fit = model.fit(x, x**2, epochs=2, verbose=0, callbacks=[monitor])
        >>> kc.to_html(folder, os.path.join(folder, "report.html")).name
        'report.html'
    """
    # Here, so that only those who want it pay for loading it.
    from keras_curvature_page import one_file

    return one_file.to_html(log_dir, path, force=force)
