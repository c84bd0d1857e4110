"""The console as a conversation: numbered lines of words, for a screen reader or a bare terminal.

Nothing is placed on a screen, nothing is said by a colour or a glyph alone.
"""
