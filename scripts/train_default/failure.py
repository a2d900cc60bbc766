"""What goes wrong, told in one line: expected, got, what to do."""


class Failure(Exception):  # noqa: N818  # printed by its text alone
    """Ends the command with exit status 1, or 2 where the command line is wrong."""

    def __init__(self, line: str, *, status: int = 1) -> None:
        super().__init__(" ".join(line.split()))
        self.status = status
