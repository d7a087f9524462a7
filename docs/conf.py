"""The documentation site: Sphinx, MyST for the Markdown, Furo. `make docs` builds it; nothing in it comes from another host."""

from __future__ import annotations

import re
from pathlib import Path

project = "regraft"
author = "the regraft authors"
release = re.findall(r'^version = "(.+)"', (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf8"), re.MULTILINE)[0]
extensions = ["myst_parser"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
suppress_warnings = ["myst.xref_missing"]  # links to files of the repository that are no pages: ../mlflow/README.md
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"regraft {release}"
html_show_copyright = False
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["site.css"]
pygments_style = "friendly"
pygments_dark_style = "native"
