"""The console: panes, keys and screens on Textual. Reads no file and starts no process."""
