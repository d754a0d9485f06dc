"""Runs one command, and ends it with everything that it started once its owner is gone.

Rule: nothing that the local stack starts outlives it, however it ends. The owner holds a pipe to this script's standard
input and never writes to it; the pipe closes when the owner closes it, or dies, even by SIGKILL. A parent-death signal
would not do: Linux sends it when the *thread* that started the child ends, and other systems have none. Run by path,
alone: the standard library is all it may use.
"""

import os
import signal
import subprocess
import sys
import threading

PATIENCE_SECONDS = 3.0  # between asking the command to end and ending it; the emulator takes 0.2 s


def end_when_owner_is_gone(command: "subprocess.Popen[bytes]") -> None:
    """Wait for the owner's end of the pipe to close, then ask *command* to end."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    command.terminate()
    threading.Timer(PATIENCE_SECONDS, command.kill).start()


def main() -> None:
    """Run the command named by the arguments; never returns, for the last act is to end the whole process group."""
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)  # noqa: S603  # the local stack names it
    signal.signal(signal.SIGTERM, lambda *_: command.terminate())
    threading.Thread(target=end_when_owner_is_gone, args=(command,), daemon=True).start()
    command.wait()
    # The emulator's functions are in this group, and so is this script.
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
