"""Hooks of mkdocs: the pages outside docs/ are pages of the site too, and links lead to the right place."""

import posixpath
import re
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "https://github.com/alps-tunnel/cscs/blob/main/"

# The files in the root of the repository, and their pages.
PAGES = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}

FENCED = re.compile(r"(?ms)^```.*?^```$")
LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files, config):
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown, page, **_):
    """Links are relative to the file in the repository, as on GitHub. mkdocs wants them relative to the page."""
    uri = page.file.src_uri
    source = next((name for name, p in PAGES.items() if p == uri), "docs/" + uri)

    def lead(match):
        target, anchor = match[1], match[2] or ""
        if re.match(r"[a-z]+:", target):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if not (ROOT / path).exists():
            raise PluginError(f"{source}: a link leads to {target}, which does not exist")
        if (ROOT / path / "README.md").exists():
            path += "/README.md"
        if path in PAGES:
            path = PAGES[path]
        elif path.startswith("docs/"):
            path = path.removeprefix("docs/")
        else:
            return f"]({REPOSITORY}{path}{anchor})"
        return f"]({posixpath.relpath(path, posixpath.dirname(uri) or '.')}{anchor})"

    parts, end = [], 0
    for block in FENCED.finditer(markdown):
        parts += [LINK.sub(lead, markdown[end:block.start()]), block[0]]
        end = block.end()
    return "".join(parts) + LINK.sub(lead, markdown[end:])
