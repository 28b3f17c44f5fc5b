"""The one exception that means "the user can mend this"."""


class UserError(ValueError):
    """A mistake that the user can mend; the message names the place and the remedy.

    The command line prints the message alone and exits with 2; from Python it is a `ValueError`.
    """
