"""The page that shows curvature: in TensorBoard's tab, in a file, in a notebook, on its own server.

One page, `static/`, and three ways to get its data: packets that a server reads (TensorBoard's
plugin, `server`), or chunks of packets that stand in the page itself (`one_file`). A package
beside `keras_curvature` and not inside it, because TensorBoard and the command line import it,
and importing `keras_curvature` would load Keras and its backend, which takes seconds.
"""
