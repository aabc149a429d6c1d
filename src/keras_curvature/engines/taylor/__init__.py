"""Second-order Taylor propagation: values, slopes and curvatures from inputs to outputs."""
