"""The page at which a person agrees to a login. Plain HTML: no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

__all__ = ["done_page", "form_page"]

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Tokenvault development login</title>
<style>
* {{ box-sizing: border-box }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 30rem; margin: 3rem auto; padding: 1rem }}
label {{ display: block; margin: 1rem 0 }}
input, select {{ display: block; width: 100%; font: inherit; padding: .4rem }}
button {{ font: inherit; padding: .4rem 1.2rem; margin-right: .6rem }}
.note {{ color: #555 }}
</style>
</head>
<body>
<h1>Tokenvault development login</h1>
{body}
</body>
</html>
"""
_FORM = """<p>A command line asks to call Tokenvault as you. Agree only if it shows this code.</p>
{problem}<form method="post" action="/device">
<label>Code <input name="user_code" value="{code}" required autocomplete="off"></label>
<label>Your name <input name="person" value="{person}" required pattern="[a-z0-9][a-z0-9._\\-]*"
maxlength="64"></label>
<label>Role <select name="role">{roles}</select></label>
<button name="decision" value="approve">Agree</button>
<button name="decision" value="deny" formnovalidate>Refuse</button>
</form>
<p class="note">For development: you are whoever you say. Two names are two people.</p>
"""


def form_page(
    roles: Sequence[str], *, code: str = "", person: str = "", role: str = "", problem: str = ""
) -> str:
    """Returns the form, filled in with what was sent before."""
    options = "".join(
        f"<option{' selected' if each == role else ''}>{escape(each)}</option>" for each in roles
    )
    text = f"<p><strong>{escape(problem)}</strong></p>\n" if problem else ""
    body = _FORM.format(
        code=escape(code), person=escape(person or "alice"), roles=options, problem=text
    )
    return _PAGE.format(body=body)


def done_page(text: str) -> str:
    """Returns what stands there once it is decided."""
    return _PAGE.format(body=f"<p>{escape(text)}</p>")
