"""Who is measured: one module for each framework, with a function `prepare`.

`prepare(work, recipe, mode)` builds the network and the inputs in the framework, runs a forward
pass in the same mode on a few points, so that what every program pays is paid, and returns a
function without arguments that does the work once and returns its result when it is there.
"""
