"""The hosts: the running kernel, a capture, and (its room waiting) the simulator."""
