"""`loop audit`: the list of its verbs. A new one is one file and one line here."""

from typing import Final

import click

from gateway.verbs.lazy import Verbs

VERBS: Final = {
    "verify": "gateway.verbs.audit_verify:verify",
    "checkpoint": "gateway.verbs.audit_checkpoint:checkpoint",
    "key": "gateway.verbs.audit_checkpoint:key",
    "prove": "gateway.verbs.audit_prove:prove",
    "export": "gateway.verbs.audit_prove:export",
    "erase": "gateway.verbs.audit_erase:erase",
    "books": "gateway.verbs.books:audit_books",
}
"""Every verb of `loop audit` and where it stands; a verb is imported when it is asked for."""


@click.group(
    cls=Verbs,
    places=VERBS,
    epilog="Example: loop audit verify --witness checkpoints.txt",
    short_help="Prove the history and the books.",
)
def audit() -> None:
    """Prove that nothing was altered, for auditors and for operators."""
