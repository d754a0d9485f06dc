"""What may go wrong for the person at the command, said in a line or two.

Rule: code that raises one of these has changed nothing that the message does not name; a traceback is for defects alone.
"""


class CommandFailed(Exception):
    """The command could not do what was asked; the message says why, and what to do."""


class MisusedCommand(Exception):
    """What was asked makes no sense as it was typed: nothing was tried."""
