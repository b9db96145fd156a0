"""What the bus tells a saga: everything after which there may be something to do at once."""

from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from adapters import log
from adapters.nats import STREAM, message, stream_config
from adapters.saga_worker import POKES
from domain import events as e
from domain.order.steps import OPENS
from tests.history import START

LOG = "log-1"


def row(position: int, tag: str) -> log.Row:
    state = b'{"metadata":{"event_id":"evt_1","merchant_id":"mer_1","mode":"test"}}'
    return log.Row(
        stream_id="ord_1", version=1, tag=tag, state=state, position=position, recorded_at=START
    )


async def test_all_that_opens_a_step_comes_and_nothing_else(js: JetStreamContext) -> None:
    await js.add_stream(stream_config(log_id=LOG, first_seq=1))
    config = ConsumerConfig(
        ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.ALL, filter_subjects=POKES
    )
    consumer = (await js.add_consumer(STREAM, config)).name
    tags = list(e.EVENT_TYPES)
    for position, tag in enumerate(tags, 1):
        found = row(position, tag)
        subject, headers = message(found, LOG)
        await js.publish(subject, found.state, headers=headers)
    pull = await js.pull_subscribe_bind(consumer, STREAM)
    opening = {e.tag_of(kind) for kind in OPENS}
    came = await pull.fetch(len(opening), timeout=30)
    assert {tags[m.metadata.sequence.stream - 1] for m in came} == opening
    assert (await js.consumer_info(STREAM, consumer)).num_pending == 0
