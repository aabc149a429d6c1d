"""The command `keras-curvature`.

A package of its own beside `keras_curvature`, so that help and mistakes in arguments are answered
at once: importing Keras takes seconds, and only what computes something does it.
"""
