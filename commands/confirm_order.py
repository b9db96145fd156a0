"""The verb: confirm. The customer says that the challenge is done; the processor is asked."""

from commands.await_outcome import await_outcome, is_settled
from commands.caller import Caller, Done
from commands.execute import load_order
from commands.ports import Ports
from commands.processor import CheckoutProof
from domain.errors import Rejected
from domain.order.state import Order


async def confirm_order(
    ports: Ports,
    caller: Caller,
    order_id: str,
    *,
    wait_s: float,
    proof: CheckoutProof | None = None,
) -> Done:
    """Have the processor looked up at once and wait for what it says, at most `wait_s` seconds.

    Nothing that the customer or merchant claims is believed: only the lookup counts. A proof that
    is none stops it all the same. An order that needs no confirmation is answered as it is.

    Raises:
        NotFound: no such order.
        Rejected: `invalid_status`, nothing was paid yet; `invalid_signature`, the proof is not of
            this order and account.
    """
    with ports.watch.order(order_id) as changed:
        order = await load_order(ports, caller, order_id)
        if order.live is None:
            raise Rejected("invalid_status", f"An order that is {order.status} has no payment yet.")
        if proof is not None and not await _is_proven(ports, order, proof):
            raise Rejected("invalid_signature", "The signature does not fit this order.")
        challenged = order.live.status == "challenged" and not order.ended
        if challenged:
            await ports.due.hint(order.id, order.live.id)
        version = order.version

        def settled(now: Order) -> bool:
            return is_settled(now) and not (challenged and now.version == version)

        order = await await_outcome(ports, caller, order, changed, wait_s=wait_s, settled=settled)
    return Done(order=order)


async def _is_proven(ports: Ports, order: Order, proof: CheckoutProof) -> bool:
    """Ask for each attempt, the newest first: the page may show an older one than the live one."""
    for attempt in reversed(order.attempts):
        processor, reference = ports.processors.get(attempt.processor), attempt.reference
        if processor is None or reference is None or reference != proof.reference:
            continue
        credentials = await ports.vault.credentials(
            order.merchant_id, order.mode, attempt.processor, attempt.credential_version
        )
        return processor.proves(proof, reference, credentials)
    return False
