"""Of every test."""

import signal

# A shell starts what runs in its background deaf to Ctrl-C, and all that this starts: tests send it to commands.
signal.signal(signal.SIGINT, signal.default_int_handler)
