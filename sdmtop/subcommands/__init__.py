"""What `sdmtop COMMAND` does, one file a command, named as it is.

Each has two functions: `arguments(parser)` declares its options, `run(options)` carries it out and
returns the exit status. What `run` raises is worded by `sdmtop.cli` as an error of the host; what
fails of anything else (a file, a target), it complains about itself. These modules are imported
to parse their own command line only, and import at the top no more than that needs.
"""
