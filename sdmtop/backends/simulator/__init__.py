"""A modelled kernel that serves the files, handles and events of a real one.

One file for each subsystem of the kernel, named as there. A state transition is one method that
checks everything first and changes afterwards: what is refused has changed nothing. Nothing here
knows the real time, and nothing is random but by the scenario's seed.
"""
