"""From a Host to the parts of a Snapshot: one file per kernel subsystem, each a pure function."""
