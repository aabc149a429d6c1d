"""Pictures of a function and how it bends."""

from keras_curvature.figures.box_map import draw_box_maps
from keras_curvature.figures.choice import draw, draw_distances, draw_examples, draw_maps
from keras_curvature.figures.style import THEMES, Picture, Theme, to_png, to_rgba

__all__ = [
    "THEMES",
    "Picture",
    "Theme",
    "draw",
    "draw_box_maps",
    "draw_distances",
    "draw_examples",
    "draw_maps",
    "to_png",
    "to_rgba",
]
