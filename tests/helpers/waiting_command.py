"""A command that waits to be ended: `tuning_child SECONDS tests.helpers.waiting_command FOLDER`.

It writes FOLDER/begun when it listens, and at SIGTERM FOLDER/saved, and ends with 75; if
FOLDER/stubborn exists, it goes on.
"""

import signal
import sys
import time
from pathlib import Path


def main():
    folder = Path(sys.argv[1])

    def end(number, frame):
        (folder / "saved").touch()
        if not (folder / "stubborn").exists():
            sys.exit(75)

    signal.signal(signal.SIGTERM, end)
    print("it waits", flush=True)
    (folder / "begun").touch()
    while True:
        time.sleep(0.05)


if __name__ == "__main__":
    main()
