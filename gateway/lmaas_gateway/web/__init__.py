"""Pages for people at `/ui`: server-rendered, with a little JavaScript of our own.

One who writes a page reads `site.py`, and then `pages/overview.py` for an example. A page has a handler, a
template that extends `base.html`, and words in `words/<language>/<page>.toml`; it is added in `web.py`.
There is no inline script or style, no `style=` and no `on…=`: the policy of `headers.py` forbids them.
Scripts and styles lie in `assets/`, are named as `{{ asset("app.js") }}`, and import each other by relative
names. Words of a script go into the page as `data-words="{{ t.under("chat.script")|tojson|forceescape }}"`.

From scripts, calls of models go to `/ui/v1/…`, which is `/v1/…` with the identity of the session
(`forwarding.py`): a POST has the header `x-csrf-token` with what stands in `<meta name="csrf-token">`.
"""
