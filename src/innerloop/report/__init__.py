"""Pages and figures about runs: the only room that draws, by matplotlib, and fills templates, by Jinja."""

from innerloop.core.importing import require

for _package in ("jinja2", "matplotlib"):
    require(_package, "a report", "report")
