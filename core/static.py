"""Static files as they are served: with a hash in the name, compressed, without what only developers read."""

import re
from typing import IO

from django.core.files.base import ContentFile, File
from whitenoise.storage import CompressedManifestStaticFilesStorage

# Only what is our own, and only what is not likely in a string: tests/core/test_static.py looks.
_OWN = re.compile(r"(css|js)/[^/]+\.(css|js)")
_LEFT_OUT = {
    "css": re.compile(r"/\*.*?\*/|^\s+|(?<=[{};,]) | (?=[{};,])", re.DOTALL | re.MULTILINE),
    "js": re.compile(r"^\s*//.*\n", re.MULTILINE),
}


class StaticStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # whitenoise has no types
    """Leaves out the remarks and spaces of our own style sheets and scripts: 3 KB of a first visit."""

    def _save(self, name: str, content: "File[bytes] | IO[bytes]") -> str:
        own = _OWN.fullmatch(name)
        if own:
            content.seek(0)  # whoever made the name's hash has read it to the end
            content = ContentFile(_LEFT_OUT[own[2]].sub("", content.read().decode()).encode())
        return str(super()._save(name, content))
