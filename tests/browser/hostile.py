"""Markup that must stay text wherever it gets into a page; each would leave `window.hacked` behind."""

from __future__ import annotations

RUN = "window.hacked=1"

CORPUS = (
    f"<script>{RUN}</script>",
    f"<img src=x onerror={RUN}>",
    f'<svg onload="{RUN}">',
    f'<svg><animate onbegin="{RUN}" attributeName=x dur=1s>',
    f'<iframe srcdoc="<script>parent.{RUN}</script>"></iframe>',
    f'<iframe src="javascript:parent.{RUN}"></iframe>',
    f'<details open ontoggle="{RUN}"><summary>x</summary></details>',
    f'<input autofocus onfocus="{RUN}">',
    f'<video><source onerror="{RUN}"></video>',
    f'<body onload="{RUN}">',
    f'<a href="javascript:{RUN}">click</a>',
    f"[click](javascript:{RUN})",
    f'![x](x" onerror="{RUN})',
    "![x](http://elsewhere.example/x.png)",
    f"<javascript:{RUN}>",
    f"</code></pre><script>{RUN}</script>",
    f"</script><script>{RUN}</script>",
    f"```html\n<script>{RUN}</script>\n```",
    f'```"><img src=x onerror={RUN}>\nx\n```',
    f"`<img src=x onerror={RUN}>`",
    f"**<img src=x onerror={RUN}>**",
    f"- <img src=x onerror={RUN}>\n1. <svg onload={RUN}>",
    f"> <math><mtext></form><form><mglyph><style></math><img src onerror={RUN}>",
    f"&lt;img src=x onerror={RUN}&gt; &#60;script&#62;{RUN}&#60;/script&#62;",
    f"\\x3cscript\\x3e{RUN}\\x3c/script\\x3e",
    f"{{{{constructor.constructor('{RUN}')()}}}} ${{{RUN}}} <%= {RUN} %>",
    f'"><script>{RUN}</script>',
    f"'-({RUN})-'",
    f"<template><script>{RUN}</script></template>",
    '<style>@import "http://elsewhere.example/x.css"; body { display: none }</style>',
    '<link rel=stylesheet href="http://elsewhere.example/x.css">',
    '<base href="http://elsewhere.example/">',
    '<meta http-equiv=refresh content="0;url=http://elsewhere.example/">',
    '<form action="http://elsewhere.example/"><button>send</button></form>',
    "\u202e<script>txet\u202c \u0000 \ufeff<img\u00a0src=x>",
)
