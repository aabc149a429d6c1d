"""The "Curvature" tab of TensorBoard.

A package beside `keras_curvature` and not inside it: TensorBoard imports it whenever it
starts, and importing `keras_curvature` would load Keras and its backend, which takes seconds.
"""
