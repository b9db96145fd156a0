"""The small pages: no script, nothing from elsewhere, readable with every assistive technology."""

from html import escape
from string import Template
from typing import Final

from litestar import Response

STYLE: Final = """
:root{color-scheme:light dark;--ink:#1b2330;--soft:#5b6677;--paper:#f6f7f9;--card:#fff;
--line:#dde2ea;--go:#17663a;--stop:#a02b2b;--link:#1f4fbf}
@media(prefers-color-scheme:dark){:root{--ink:#e8ebf1;--soft:#a3adbd;--paper:#12161d;--card:#1b212b;
--line:#303949;--go:#2f9a5d;--stop:#d06565;--link:#8fb0ff}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,sans-serif}main{max-width:60rem;margin:0 auto;padding:2rem 1.25rem 4rem}
main.narrow{max-width:30rem;padding-top:12vh}h1{font-size:1.6rem;margin:0 0 .5rem}
h2{font-size:1.15rem;margin:2.5rem 0 .75rem}h3{font-size:1rem;margin:0}a{color:var(--link)}
.soft{color:var(--soft)}.card{background:var(--card);border:1px solid var(--line);
border-radius:.6rem;padding:1.1rem 1.25rem;margin:.75rem 0}.sum{font-size:2rem;font-weight:650;
margin:.5rem 0}form{display:inline-block;margin:.75rem .5rem 0 0}button{font:inherit;
font-weight:600;padding:.65rem 1.2rem;border:0;border-radius:.45rem;color:#fff;cursor:pointer;
background:#17663a}button.stop{background:#a02b2b}:focus-visible{outline:3px solid var(--link);
outline-offset:2px}summary{cursor:pointer}code,pre{font:.87rem/1.5 ui-monospace,monospace}
code{overflow-wrap:anywhere}
pre{overflow-x:auto;background:var(--paper);border:1px solid var(--line);border-radius:.4rem;
padding:.75rem}table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;
padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--line)}.verb{display:inline-block;
min-width:4rem;font:600 .8rem ui-monospace,monospace;color:var(--go)}
form.try{display:block;margin-top:1.25rem;border-top:1px solid var(--line);padding-top:.75rem}
.try p,.key{display:flex;gap:.75rem;align-items:center}.try p{margin:.4rem 0}
.try label,.key label{min-width:9rem;font:.87rem ui-monospace,monospace}
.try input,.try textarea,.key input{font:.87rem/1.5 ui-monospace,monospace;flex:1;width:100%;
padding:.4rem .6rem;color:inherit;background:var(--paper);border:1px solid var(--soft);
border-radius:.4rem}.try button{margin:.75rem 0}
[hidden]{display:none}
"""

_PAGE: Final = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<link rel="icon" href="data:,">
<style>$style</style>
</head>
<body><main class="$kind">$body</main></body>
</html>
""")

# No form-action: browsers apply it to the redirect after a form too, and that goes to the merchant.
CSP: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; frame-ancestors 'none'"
)


def page(
    title: str, body: str, *, status: int = 200, narrow: bool = False, csp: str = CSP
) -> Response[bytes]:
    """Answer with a page; `body` is HTML, what it shows is escaped by its maker."""
    html = _PAGE.substitute(
        title=escape(title), style=STYLE, body=body, kind="narrow" if narrow else "wide"
    )
    return Response(
        html.encode(),
        status_code=status,
        media_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": csp, "Referrer-Policy": "no-referrer"},
    )
