"""`loop audit`: the list of its verbs. A new one is one file and one line here."""

from importlib import import_module
from typing import Final

import click
from typing_extensions import override

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


class AuditVerbs(click.Group):
    """The group of the audit's verbs."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


@click.group(
    cls=AuditVerbs,
    epilog="Example: loop audit verify --witness checkpoints.txt",
    short_help="Prove the history and the books.",
)
def audit() -> None:
    """Prove that nothing was altered, for auditors and for operators."""
