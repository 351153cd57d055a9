"""Where the script is put into Label Studio's pages."""

from __future__ import annotations

APP_MARK = b'class="app-wrapper"'
"""Stands in the pages in which Label Studio's own program runs, and in no others."""
END = b"</body>"


def with_script(page: bytes, host: str) -> bytes:
    """``page`` with our script at its end; as it was when it is none of Label Studio's app."""
    before, end, after = page.rpartition(END)
    if not end or APP_MARK not in page:
        return page
    return before + f'<script src="{host}/custom-ai/page.js" defer></script>\n'.encode() + end + after
