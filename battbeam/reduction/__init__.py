"""Arrays in, arrays out: detector frames to patterns, patterns to answers."""
