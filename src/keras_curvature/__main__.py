"""Makes `python -m keras_curvature` the command line, as `keras-curvature` is."""

from keras_curvature_cli.__main__ import main

if __name__ == "__main__":
    main()
