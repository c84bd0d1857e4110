"""What can be done to a host: plans that are shown first, checked at each step, and undone."""
