"""The frame of the hosted page: head, style, banner, and a policy that lets nothing else in."""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from string import Template
from typing import Final
from urllib.parse import urlsplit

import msgspec
from litestar import Response

STYLE: Final = """
:root{color-scheme:light dark;--ink:#16202e;--soft:#56637a;--paper:#f4f6fa;--card:#fff;
--line:#8994a8;--hair:#dce2ec;--go:#1d4ed8;--go-ink:#fff;--bad:#9f1d1d;--bad-paper:#fdf0f0;
--good:#14612f;--test:#5b3a00;--test-paper:#ffefc7}
@media(prefers-color-scheme:dark){:root{--ink:#eaeef5;--soft:#a9b4c6;--paper:#0f141c;
--card:#19212d;--line:#6d7a90;--hair:#2b3646;--go:#8fb2ff;--go-ink:#0c1526;--bad:#ffb4ab;
--bad-paper:#3b1a1a;--good:#7fdca0;--test:#ffdf9e;--test-paper:#3d2e0b}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.5 system-ui,sans-serif;
overflow-wrap:anywhere}
.test{margin:0;padding:.5rem 1.25rem;text-align:center;background:var(--test-paper);
color:var(--test)}
header,main,footer{max-width:58rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:1.75rem;font-weight:650}
main{padding-top:1.25rem;padding-bottom:2rem}
main.narrow,header.narrow{max-width:34rem}
.two{display:grid;gap:1.25rem;align-items:start}
@media(min-width:48rem){.two{grid-template-columns:1fr 1fr;gap:2rem}}
.box{background:var(--card);border:1px solid var(--hair);border-radius:.75rem;padding:1.5rem}
h1{font-size:1.3rem;line-height:1.3;margin:0 0 .5rem}
h2{font-size:1.1rem;margin:0 0 .75rem}
p{margin:.5rem 0}
.soft{color:var(--soft)}
.sum{font-size:clamp(1.5rem,7.5vw,2.1rem);line-height:1.2;font-weight:700;margin:.25rem 0 .75rem;
font-variant-numeric:tabular-nums}
table{width:100%;border-collapse:collapse;margin-top:1rem}
caption{text-align:left;font-weight:600;padding-bottom:.25rem}
th,td{text-align:left;vertical-align:top;padding:.5rem 0;border-top:1px solid var(--hair);
font-weight:400}
thead th{color:var(--soft);font-size:.875rem;border-top:0}
td.n,th.n{text-align:right;white-space:nowrap;padding-left:1rem;
font-variant-numeric:tabular-nums}
tfoot th,tfoot td{font-weight:650}
small{display:block;color:var(--soft);font-size:.875rem}
fieldset{border:0;margin:0;padding:0;min-width:0}
legend{font-weight:650;padding:0;margin-bottom:.5rem}
label.pick{display:flex;gap:.7rem;align-items:flex-start;padding:.7rem .8rem;min-height:2.75rem;
border:1px solid var(--line);border-radius:.5rem;margin:.4rem 0;cursor:pointer}
label.pick:hover{border-color:var(--go)}
label.pick:has(:checked){border-color:var(--go);box-shadow:inset 0 0 0 1px var(--go)}
label.pick input{margin:.2rem 0 0;width:1.15rem;height:1.15rem;flex:none;
accent-color:var(--go)}
label.field{display:block;font-weight:650;margin-bottom:.35rem}
select{font:inherit;width:100%;min-height:2.75rem;padding:.4rem .6rem;color:var(--ink);
background:var(--card);border:1px solid var(--line);border-radius:.5rem}
code{font:.85em ui-monospace,monospace;color:var(--soft)}
button,.button{display:block;width:100%;font:inherit;font-weight:650;text-align:center;
text-decoration:none;min-height:3rem;padding:.75rem 1.2rem;margin-top:1.1rem;border:0;
border-radius:.5rem;cursor:pointer;background:var(--go);color:var(--go-ink)}
button:disabled{opacity:.6;cursor:default}
a{color:var(--go)}
.leave{margin-top:1rem;text-align:center}
.problem{border:1px solid var(--bad);background:var(--bad-paper);border-radius:.5rem;
padding:.8rem 1rem;margin-bottom:1.1rem}
.problem p{margin:0}.problem strong{color:var(--bad)}
.wrong{color:var(--bad);font-weight:600;margin:0 0 .5rem}
.good{color:var(--good)}
footer{padding-bottom:2rem;font-size:.875rem}
:focus-visible{outline:3px solid var(--go);outline-offset:2px}
.problem:focus{outline:3px solid var(--bad);outline-offset:2px}
@media(forced-colors:active){label.pick:has(:checked){outline:3px solid Highlight}}
"""

_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_PAGE: Final = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
$refresh<title>$title</title>
<link rel="icon" href="data:,">
<style>$style</style>
$scripts</head>
<body>
$banner$header<main class="$kind">
$body
</main>
</body>
</html>
""")
_BANNER: Final = (
    '<p class="test" role="note"><strong>Test mode.</strong> No money moves, and no real card '
    "works here.</p>\n"
)


class Vendor(msgspec.Struct, frozen=True, kw_only=True):
    """What the policy lets in and out besides ourselves.

    Attributes:
        scripts: `src` of the scripts, ours as paths, the vendor's as URLs.
        frames, connects, forms: addresses of frames, requests, and targets of forms.
    """

    scripts: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()
    connects: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()


class Screen(msgspec.Struct, frozen=True, kw_only=True):
    """One page as its maker says it; `body` is HTML in which everything foreign is escaped.

    Attributes:
        refresh: seconds and URL of where the browser goes by itself.
        wide: two columns where there is room.
    """

    title: str
    body: str
    status: int = 200
    refresh: tuple[int, str] | None = None
    wide: bool = False
    vendor: Vendor = Vendor()
    retry_after_s: int | None = None


def origin(url: str) -> str:
    """Return scheme, host and port of a URL, as a policy names them."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def policy(vendor: Vendor) -> str:
    """Return the Content-Security-Policy: our style by its hash, forms to us, nothing else."""
    scripts = ["'self'" if s.startswith("/") else origin(s) for s in vendor.scripts]
    directives: list[tuple[str, Sequence[str]]] = [
        ("default-src", ["'none'"]),
        ("style-src", [f"'sha256-{_STYLE_HASH}'"]),
        ("img-src", ["data:"]),
        ("form-action", ["'self'", *map(origin, vendor.forms)]),
        ("base-uri", ["'none'"]),
        ("frame-ancestors", ["'none'"]),
        ("script-src", scripts),
        ("frame-src", vendor.frames),
        ("connect-src", vendor.connects),
    ]
    named = [(name, list(dict.fromkeys(values))) for name, values in directives if values]
    return "; ".join(f"{name} {' '.join(values)}" for name, values in named)


def rendered(screen: Screen, *, shop: str | None, test: bool) -> Response[bytes]:
    """Answer with a page."""
    kind = "wide" if screen.wide else "narrow"
    refresh = ""
    if screen.refresh is not None:
        seconds, url = screen.refresh
        refresh = f'<meta http-equiv="refresh" content="{seconds}; url={escape(url)}">\n'
    html = _PAGE.substitute(
        title=escape(f"{screen.title} · {shop}" if shop else screen.title),
        refresh=refresh,
        style=STYLE,
        scripts="".join(
            f'<script src="{escape(s)}" defer></script>\n' for s in screen.vendor.scripts
        ),
        banner=_BANNER if test else "",
        header=f'<header class="{kind}">{escape(shop)}</header>\n' if shop else "",
        kind=kind,
        body=screen.body,
    )
    headers = {
        "Content-Security-Policy": policy(screen.vendor),
        "Referrer-Policy": "no-referrer",
    }
    if screen.retry_after_s is not None:
        headers["Retry-After"] = str(screen.retry_after_s)
    return Response(
        html.encode(),
        status_code=screen.status,
        media_type="text/html; charset=utf-8",
        headers=headers,
    )
