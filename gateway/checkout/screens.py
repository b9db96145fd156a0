"""Every state of an order as a page that a customer understands."""

from html import escape
from typing import Final

from commands.customer_page import TestCard, VendorForm, VendorScript
from domain.money import Money
from domain.order.rules import ATTEMPTS_MAX
from domain.personal import LineItem
from gateway.checkout import words
from gateway.checkout.frame import Screen, Vendor
from gateway.checkout.visit import PAID, Visit

REFRESH_S: Final = 2
"""How often a page that waits looks again, in seconds."""
ASSETS: Final = "/checkout/assets"


def pay_form(
    visit: Visit, cards: tuple[TestCard, ...], token: str, *, wrong: str | None = None
) -> Screen:
    """Ask for a payment: with a test card, or the step to the processor that collects the card.

    `wrong` is what is wrong with the choice of a card, told beside it.
    """
    amount = words.money(visit.order.amount)
    again = visit.order.awaits_customer
    problem = (
        _problem(wrong, "Nothing was charged.") if wrong else _declined(visit) if again else ""
    )
    told = "" if cards else '<p class="soft">You give your card on the next page.</p>'
    button = f"Pay {amount}" if cards else f"Continue to pay {amount}"
    body = f"""<section class="box" aria-labelledby="pay">
<h2 id="pay">Payment</h2>
{problem}<form method="post" action="{escape(visit.path)}/pay">
<input type="hidden" name="page" value="{escape(token)}">
{_picks(cards, wrong)}{told}<button>{escape(button)}</button>
</form>
{_leave(visit)}</section>"""
    title = "Error" if wrong else "Declined" if again else "Pay"
    return _beside(visit, title, body, status=400 if wrong else 200)


def _picks(cards: tuple[TestCard, ...], wrong: str | None) -> str:
    if not cards:
        return ""
    checked = not wrong
    rows: list[str] = []
    for n, card in enumerate(cards):
        mark = " checked" if checked and n == 0 else ""
        rows.append(
            f'<label class="pick"><input type="radio" name="card" value="{escape(card.token)}" '
            f"required{mark}><span>{escape(card.says)}<br><code>{escape(card.token)}</code></span>"
            "</label>"
        )
    described = ' aria-describedby="wrong" aria-invalid="true"' if wrong else ""
    error = f'<p class="wrong" id="wrong">{escape(wrong)}</p>\n' if wrong else ""
    return (
        f'<fieldset role="radiogroup"{described}>\n<legend>Test card</legend>\n{error}'
        + "\n".join(rows)
        + "\n</fieldset>\n"
    )


def _problem(text: str, rest: str) -> str:
    return (
        '<div class="problem" role="alert" tabindex="-1" autofocus>'
        f"<p><strong>{escape(text)}</strong> {escape(rest)}</p></div>\n"
    )


def _declined(visit: Visit) -> str:
    live = visit.order.live
    failure = live.failure if live else None
    said = (words.what_next(failure), "Nothing was charged.", words.tries_left(visit.order))
    return _problem(words.declined(failure), " ".join(part for part in said if part))


def _went_on(visit: Visit) -> str:
    """Say why the customer is asked again, where another processor follows a no."""
    before = visit.order.attempts[-2:-1]
    failure = before[0].failure if before else None
    if failure is None:
        return ""
    return _problem(
        words.declined(failure), "Nothing was charged. You can pay in another way here."
    )


def vendor_form(visit: Visit, form: VendorForm, *, again: bool) -> Screen:
    """Send the customer to the processor's own page, by a plain form; `again` after its no."""
    hidden = "\n".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in form.fields
    )
    choice = ""
    if form.choice is not None:
        options = "".join(
            f'<option value="{escape(value)}">{escape(label)}</option>'
            for value, label in form.choice.options
        )
        choice = (
            f'<label class="field" for="choice">{escape(form.choice.label)}</label>\n'
            f'<select id="choice" name="{escape(form.choice.name)}">{options}</select>\n'
        )
    problem = _problem("The payment did not go through.", "You can try again.")
    problem = problem if again else _went_on(visit)
    amount = escape(words.money(visit.order.amount))
    body = f"""<section class="box" aria-labelledby="pay">
<h2 id="pay">Payment</h2>
{problem}<form method="post" action="{escape(form.action)}">
{hidden}
{choice}<button>Pay {amount}</button>
</form>
{_leave(visit)}</section>"""
    # Browsers hold the policy against redirects behind a form too: the way back to the shop is one.
    forms = (form.action, *([visit.return_url] if visit.return_url else []))
    return _beside(visit, "Declined" if problem else "Pay", body, vendor=Vendor(forms=forms))


def vendor_script(visit: Visit, script: VendorScript) -> Screen:
    """Let the processor's script ask for the card, in a frame of its own."""
    data = " ".join(f'data-{escape(name)}="{escape(value)}"' for name, value in script.data)
    amount = escape(words.money(visit.order.amount))
    body = f"""<section class="box" aria-labelledby="pay">
<h2 id="pay">Payment</h2>
<noscript><div class="problem"><p><strong>Your card is asked for by a script of our payment service.
</strong> Please allow JavaScript for this page and load it again.</p></div></noscript>
{_went_on(visit)}<div class="problem" role="alert" id="problem" tabindex="-1" hidden><p></p></div>
<form id="vendor" {data}>
<div id="card"><p class="soft">Loading the card form…</p></div>
<button disabled>Pay {amount}</button>
</form>
{_leave(visit)}</section>"""
    vendor = Vendor(
        scripts=(script.script, f"{ASSETS}/{script.ours}"),
        frames=script.frames,
        connects=script.connects,
    )
    return _beside(visit, "Pay", body, vendor=vendor)


def at_bank(visit: Visit, url: str) -> Screen:
    """Offer the bank's page once more, to a customer who came back from it, or reloaded."""
    body = f"""<section class="box" aria-labelledby="pay">
<h2 id="pay">Your bank asks you to confirm</h2>
<p>The payment is not made before you have confirmed it at your bank.</p>
<p><a class="button" href="{escape(url)}">Continue to your bank</a></p>
<p class="leave"><a href="{escape(visit.path)}/return">I have confirmed it already</a></p>
</section>"""
    return _beside(visit, "Confirm", body)


def waiting(visit: Visit) -> Screen:
    """Say that the outcome is not known yet; the page looks again by itself."""
    onward = f"{visit.path}/next"
    body = f"""<section class="box" role="status">
<h1>Your payment is being processed</h1>
<p>{escape(words.money(visit.order.amount))}. Please do not pay again: this page goes on by itself
as soon as the outcome is known.</p>
<p><a href="{escape(onward)}">Look now</a></p>
</section>"""
    return Screen(title="Processing", body=body, refresh=(REFRESH_S, onward))


def ended(visit: Visit, home: str | None) -> Screen:
    """Say how it ended: paid, failed, cancelled, or out of time; `home` tells the shop, too."""
    order = visit.order
    amount = escape(words.money(order.amount))
    if order.status in PAID:
        verb = {"refunded": "was refunded"}.get(order.status, "is paid")
        heading = "Thank you" if verb == "is paid" else "Refunded"
        body = f'<h1 class="good">{heading}</h1>\n<p>{amount} {verb}.</p>'
        return _closing(visit, "Paid", body, home)
    if order.ended == "failed":
        tries = len(order.attempts)
        why = words.declined(order.failure)
        more = "It was tried too often. " if tries >= ATTEMPTS_MAX else ""
        body = (
            f"<h1>The payment failed</h1>\n<p>{escape(why)} {more}Nothing was charged.</p>\n"
            '<p class="soft">This payment cannot be tried again. Please ask the shop for another '
            "way to pay.</p>"
        )
        return _closing(visit, "Failed", body, home or visit.cancel_url)
    if order.ended == "cancelled" or order.cancel_requested:
        body = "<h1>This payment was cancelled</h1>\n<p>Nothing was charged.</p>"
        return _closing(visit, "Cancelled", body, home or visit.cancel_url)
    body = (
        "<h1>This page has expired</h1>\n<p>Nothing was charged. Please go back to the shop and "
        "start again.</p>"
    )
    return _closing(visit, "Expired", body, home or visit.cancel_url)


def closed(visit: Visit) -> Screen:
    """Say that nobody can take this payment now."""
    body = (
        "<h1>This payment cannot be made here now</h1>\n<p>Nothing was charged. Please try again "
        "later, or ask the shop.</p>"
    )
    return _closing(visit, "Not possible", body, visit.cancel_url)


def leaving(url: str, *, where: str) -> Screen:
    """Go on to another site; a link for whoever does not get there by itself."""
    body = f"""<section class="box">
<h1>Taking you to {escape(where)}</h1>
<p><a href="{escape(url)}">Go on, if nothing happens</a></p>
</section>"""
    return Screen(title=f"Taking you to {where}", body=body, refresh=(0, url))


def error(status: int, text: str, *, retry_after_s: int | None = None) -> Screen:
    """Say that there is no page, or that it cannot be shown now."""
    body = f'<section class="box">\n<h1>{escape(text)}</h1>\n</section>'
    return Screen(title=text, body=body, status=status, retry_after_s=retry_after_s)


def _closing(visit: Visit, title: str, body: str, url: str | None) -> Screen:
    shop = visit.shop or "the shop"
    link = (
        f'<p><a class="button" href="{escape(url)}">Back to {escape(shop)}</a></p>' if url else ""
    )
    rest = "" if url else '<p class="soft">You can close this page.</p>'
    return Screen(title=title, body=f'<section class="box">\n{body}\n{link}{rest}\n</section>')


def _beside(
    visit: Visit, title: str, body: str, *, status: int = 200, vendor: Vendor | None = None
) -> Screen:
    """Set what is to be done beside what is paid for."""
    return Screen(
        title=title,
        body=f'<div class="two">\n{_summary(visit)}\n{body}\n</div>',
        status=status,
        wide=True,
        vendor=vendor or Vendor(),
    )


def _summary(visit: Visit) -> str:
    shop = visit.shop or "the shop"
    amount = escape(words.money(visit.order.amount))
    description = visit.personal.description
    text = f'<p class="soft">{escape(description)}</p>\n' if description else ""
    return (
        f'<section aria-labelledby="what">\n<h1 id="what">Pay {escape(shop)}</h1>\n'
        f'<p class="sum">{amount}</p>\n{text}{_items(visit)}</section>'
    )


def _items(visit: Visit) -> str:
    items = visit.personal.line_items
    if not items:
        return ""
    currency = visit.order.amount.currency
    rows = "\n".join(_item(item, currency) for item in items)
    return (
        '<table>\n<caption>What you pay for</caption>\n<thead><tr><th scope="col">Item</th>'
        '<th scope="col" class="n">Price</th></tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n"
        f'<tfoot><tr><th scope="row">Total</th><td class="n">'
        f"{escape(words.money(visit.order.amount))}</td></tr></tfoot>\n</table>\n"
    )


def _item(item: LineItem, currency: str) -> str:
    whole = words.money(Money(item.amount * item.quantity, currency))
    each = words.money(Money(item.amount, currency))
    times = f"<small>{item.quantity} &times; {escape(each)}</small>" if item.quantity > 1 else ""
    return (
        f'<tr><th scope="row">{escape(item.name)}{times}</th>'
        f'<td class="n">{escape(whole)}</td></tr>'
    )


def _leave(visit: Visit) -> str:
    if visit.cancel_url is None:
        return ""
    shop = visit.shop or "the shop"
    return (
        f'<p class="leave"><a href="{escape(visit.cancel_url)}">Cancel and go back to '
        f"{escape(shop)}</a></p>\n"
    )
