"""TensorBoard's web application within the test's own process."""

import argparse

from tensorboard.backend import application
from tensorboard.backend.event_processing.data_ingester import LocalDataIngester
from werkzeug.test import Client

from keras_curvature_tensorboard.loader import CurvatureLoader

ROOT = "/data/plugin/curvature"


def served(logdir, *, loaders=None, samples=None):
    """TensorBoard's web application on `logdir`, once everything is read."""
    flags = argparse.Namespace(
        logdir=str(logdir), logdir_spec="", samples_per_plugin=dict(samples or {}),
        purge_orphaned_data=True, max_reload_threads=1, reload_multifile=False,
        detect_file_replacement=None, reload_interval=0, reload_task="blocking",
        path_prefix="", window_title="", generic_data="auto",
    )  # fmt: skip
    loaders = [CurvatureLoader()] if loaders is None else loaders
    for loader in loaders:
        if isinstance(loader, CurvatureLoader):
            loader.fix_flags(flags)
    ingester = LocalDataIngester(flags)
    ingester.start()
    app = application.TensorBoardWSGIApp(
        flags, loaders, ingester.data_provider, None, ingester.deprecated_multiplexer
    )
    return Client(app)
