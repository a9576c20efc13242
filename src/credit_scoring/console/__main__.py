"""``python -m credit_scoring.console``: the commands where the package is not installed, as in a Bento."""

from credit_scoring.console import app

app(prog_name="credit-scoring")
