"""Known-answer tests of devices, and of the host itself: does this work, here, now?

One file a family; `registry` knows them all, `runner` runs them, `reports` says what came of it.
A test takes nothing for true that it has not seen, and leaves what it touches as it was.
"""
