"""What can be read off a figure."""

import matplotlib as mpl


def texts(figure):
    """Every text that is not empty."""
    return [t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_text()]


def line(axes, label):
    """The line whose label starts so."""
    (found,) = [line for line in axes.lines if str(line.get_label()).startswith(label)]
    return found
