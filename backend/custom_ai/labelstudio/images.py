"""The image of a task, from wherever Label Studio keeps it, with care.

Task data are written by anyone who may import tasks. So: Label Studio's token goes to Label Studio
only; other hosts only when the settings list them, or when Label Studio itself sends us to its public
cloud storage; nothing is read beyond the limits; local paths never.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from urllib.parse import unquote, unquote_to_bytes, urljoin, urlsplit

import httpx

from custom_ai.errors import N_, CustomAIError, ImageError, ImageForbidden, LabelStudioUnreachable
from custom_ai.labelstudio.answers import describe, origin_of
from custom_ai.labelstudio.session import Session
from custom_ai.settings import Settings

ATTEMPTS = 3
PAUSE_S = 0.3
REDIRECTS = 4
TOTAL_TIMEOUTS = 4
"""A download may take this many times CUSTOM_AI_HTTP_TIMEOUT_S in all: slow drips end."""
CHUNK_BYTES = 1 << 16

CLOUD_SCHEMES = frozenset({"s3", "s3s", "gs", "azure-blob", "azure_spi", "dbx", "redis"})
"""URIs that Label Studio resolves by its source storages."""
_IMAGE_PATHS = re.compile(r"/(data|storage-data|static)/|/tasks/\d+/resolve/")
"""What we ask Label Studio for because task data say so; never its API."""

NO_URI = N_("the task has no image address")
BAD_URI = N_("its address cannot be read")
BAD_SCHEME = N_("addresses of this kind are not allowed")
NOT_AN_IMAGE_PATH = N_("this is not an address of images in Label Studio")
HOST = N_("its host is not listed in CUSTOM_AI_IMAGE_HOSTS")
PRIVATE_HOST = N_("its host is in a private network and not listed in CUSTOM_AI_IMAGE_HOSTS")
UNKNOWN_HOST = N_("its host is unknown")
GONE = N_("there is no such file")
REFUSED = N_("access to the file was refused")
UNREACHABLE = N_("its host does not answer")
TOO_LARGE = N_("the file is larger than CUSTOM_AI_IMAGE_MAX_BYTES allows")
TOO_SLOW = N_("the download took too long")
TOO_MANY_REDIRECTS = N_("there are too many redirects")
NOT_BASE64 = N_("its data: address does not hold a base64 image")


class _Again(Exception):
    """Worth another attempt; carries the error to raise when it was the last."""

    def __init__(self, error: CustomAIError) -> None:
        super().__init__()
        self.error = error


def fetch_image(session: Session, settings: Settings, task_id: int, uri: object) -> bytes:
    """The bytes behind the image URI of a task; whether they are an image is for the caller to see.

    Raises ImageError when this image cannot be had (ImageForbidden when it may not be fetched),
    LabelStudioUnreachable and LabelStudioAuth when it is not the image's fault.
    """
    if not isinstance(uri, str) or not uri.strip():
        raise ImageError(image=f"task {task_id}", why=NO_URI)
    uri = uri.strip()
    if uri[:5].lower() == "data:":
        return _data_uri(uri, f"task {task_id}", settings.image_max_bytes)
    name = shown(uri)
    url = _address(session, settings, task_id, uri, name)
    for attempt in range(ATTEMPTS):
        try:
            return _download(session, settings, url, name)
        except _Again as again:
            # Label Studio answers 500 for uploads that were deleted, so we do not try for long.
            if attempt == ATTEMPTS - 1:
                raise again.error from again.__cause__
            time.sleep(PAUSE_S * (attempt + 1))
    raise AssertionError("unreachable")


def shown(uri: str) -> str:
    """An address for people: without the query, which may hold a signature, and without a password."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return uri[:100]
    query = f"?{parts.query}" if parts.path.startswith("/data/local-files") and not parts.netloc else ""
    host = parts.netloc.rpartition("@")[2]
    return (f"{parts.scheme}://{host}" if parts.scheme else host) + (parts.path + query)[-200:]


def _address(session: Session, settings: Settings, task_id: int, uri: str, name: str) -> str:
    """The absolute http(s) URL to ask for."""
    base = urlsplit(session.url)
    root = f"{base.scheme}://{base.netloc}"
    scheme = uri.partition(":")[0].lower() if re.match(r"[a-zA-Z][a-zA-Z0-9+._-]*:", uri) else ""
    if scheme in CLOUD_SCHEMES:
        coded = base64.urlsafe_b64encode(uri.encode()).decode()
        return f"{session.url}/tasks/{task_id}/resolve/?fileuri={coded}"
    if not scheme and uri.startswith("/") and not uri.startswith("//"):
        return (root if base.path and uri.startswith(base.path + "/") else session.url) + uri
    if scheme not in ("http", "https"):
        raise ImageForbidden(image=name, why=BAD_SCHEME)
    try:
        public = settings.label_studio_public_url
        if origin_of(uri) != session.origin and public and uri.startswith(public + "/"):
            # Tasks may hold the address that people use; we reach Label Studio under another one.
            return session.url + uri.removeprefix(public)
        return uri
    except ValueError as error:
        raise ImageError(image=name, why=BAD_URI) from error


def _download(session: Session, settings: Settings, url: str, name: str) -> bytes:
    trusted_hop = False
    deadline = time.monotonic() + TOTAL_TIMEOUTS * settings.http_timeout_s
    for _ in range(REDIRECTS + 1):
        with _open(session, settings, url, name, trusted_hop) as response:
            if response.has_redirect_location:
                trusted_hop = _is_label_studio(session, url)
                url = urljoin(url, response.headers["location"])
                continue
            status = response.status_code
            if status in (408, 425, 429) or status >= 500:
                raise _Again(_failure(session, url, name, f"HTTP {status}", gone=status == 500))
            if status in (401, 403):
                raise ImageError(image=name, why=REFUSED)
            if status != 200:
                raise ImageError(image=name, why=GONE)
            return _read(response, name, settings.image_max_bytes, deadline)
    raise ImageError(image=name, why=TOO_MANY_REDIRECTS)


@contextmanager
def _open(session: Session, settings: Settings, url: str, name: str, trusted_hop: bool) -> Iterator[httpx.Response]:
    """One hop. ``trusted_hop``: Label Studio itself has sent us to this URL."""
    headers = {"Accept-Encoding": "identity"}  # no decompression bombs on the wire
    try:
        if _is_label_studio(session, url):
            _check_path(session, url, name)
            with session.stream(url, headers=headers) as response:
                yield response
            return
        _check_host(settings, url, name, trusted_hop)
        with (
            httpx.Client(timeout=settings.http_timeout_s, verify=_tls(), trust_env=True) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            yield response
    except httpx.TransportError as error:
        raise _Again(_failure(session, url, name, describe(error), gone=False)) from error
    except (httpx.InvalidURL, httpx.HTTPError, ValueError) as error:
        raise ImageError(image=name, why=BAD_URI) from error


def _failure(session: Session, url: str, name: str, detail: str, *, gone: bool) -> CustomAIError:
    """What a failed hop means: Label Studio is out of order, or just this image."""
    if not _is_label_studio(session, url):
        return ImageError(image=name, why=UNREACHABLE)
    return ImageError(image=name, why=GONE) if gone else LabelStudioUnreachable(url=session.url, detail=detail)


def _read(response: httpx.Response, name: str, max_bytes: int, deadline: float) -> bytes:
    length = response.headers.get("content-length", "")
    if length.isdigit() and int(length) > max_bytes:
        raise ImageError(image=name, why=TOO_LARGE)
    data = bytearray()
    for chunk in response.iter_raw(CHUNK_BYTES):
        data += chunk
        if len(data) > max_bytes:
            raise ImageError(image=name, why=TOO_LARGE)
        if time.monotonic() > deadline:
            raise ImageError(image=name, why=TOO_SLOW)
    return bytes(data)


def _is_label_studio(session: Session, url: str) -> bool:
    try:
        return origin_of(url) == session.origin
    except ValueError:
        return False


def _check_path(session: Session, url: str, name: str) -> None:
    path = unquote(urlsplit(url).path).removeprefix(urlsplit(session.url).path)
    if not _IMAGE_PATHS.match(path) or ".." in path.split("/") or "\\" in path:
        raise ImageForbidden(image=name, why=NOT_AN_IMAGE_PATH)


def _check_host(settings: Settings, url: str, name: str, trusted_hop: bool) -> None:
    try:
        _, host, port = origin_of(url)
    except ValueError as error:
        raise ImageForbidden(image=name, why=BAD_SCHEME) from error
    if host in settings.image_hosts or f"{host}:{port}" in settings.image_hosts:
        return
    if not trusted_hop:
        raise ImageForbidden(image=name, why=HOST)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ImageError(image=name, why=UNKNOWN_HOST) from error
    for *_, address in found:
        if not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_global:
            raise ImageForbidden(image=name, why=PRIVATE_HOST)


def _data_uri(uri: str, name: str, max_bytes: int) -> bytes:
    head, comma, body = uri.partition(",")
    if not comma or not re.fullmatch(r"data:image/[\w.+-]+(;[\w=.+-]+)*;base64", head, re.IGNORECASE):
        raise ImageError(image=name, why=NOT_BASE64)
    if len(body) > max_bytes * 2:  # 4/3 for base64, the rest for percent signs
        raise ImageError(image=name, why=TOO_LARGE)
    try:
        data = base64.b64decode(unquote_to_bytes(body), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(image=name, why=NOT_BASE64) from error
    if len(data) > max_bytes:
        raise ImageError(image=name, why=TOO_LARGE)
    return data


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Loading the certificates takes longer than a small download."""
    return httpx.create_ssl_context()
