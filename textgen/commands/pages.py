"""How the pages begin that commands write; they need no script and no other file."""

HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
body {{ max-width: 50rem; margin: 2rem auto; padding: 0 1rem }}
body {{ font-family: system-ui, sans-serif; line-height: 1.5 }}
table {{ margin-bottom: 1rem }}
th, td {{ text-align: left; vertical-align: top; padding: 0.1rem 1rem 0.1rem 0 }}
h2, td, li {{ overflow-wrap: anywhere }}
section {{ margin-top: 2rem; border-top: 1px solid; padding-top: 0.5rem }}
h2 {{ font-size: 1.1rem }}
</style>
</head>
<body>
<h1>{title}</h1>
"""


def head(title: str) -> str:
    """Returns a page up to its heading, which is plain text without markup."""
    return HEAD.format(title=title)
