"""Originals of de-identified images, encrypted: AES-256-GCM with a key that is not stored beside them."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from custom_ai.errors import N_, ImageError

KEY_BYTES = 32
_NONCE_BYTES = 12
NOT_THERE = N_("its original is not in the vault")
WRONG_KEY = N_("its original in the vault cannot be decrypted: was CUSTOM_AI_VAULT_KEY changed, or the file?")


def new_key() -> str:
    """A key for the setting ``vault_key``."""
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


class Vault:
    """A folder of encrypted files, each named by project and the sha256 of what is in it."""

    def __init__(self, folder: Path, key: str) -> None:
        """``key``: see ``new_key``."""
        self._folder = folder
        self._cipher = AESGCM(base64.b64decode(key, altchars=b"-_", validate=True))

    def put(self, project_id: int, sha256: str, content: bytes) -> None:
        """Keep an original; harmless when it is there already. It is on disk when this returns."""
        path = self._path(project_id, sha256)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        nonce = os.urandom(_NONCE_BYTES)
        part = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(nonce + self._cipher.encrypt(nonce, content, sha256.encode()))
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def get(self, project_id: int, sha256: str, name: str) -> bytes:
        """The original. Raises ImageError; ``name`` is for that."""
        try:
            stored = self._path(project_id, sha256).read_bytes()
        except OSError as error:
            raise ImageError(image=name, why=NOT_THERE) from error
        try:
            return self._cipher.decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], sha256.encode())
        except (InvalidTag, ValueError) as error:
            raise ImageError(image=name, why=WRONG_KEY) from error

    def _path(self, project_id: int, sha256: str) -> Path:
        return self._folder / str(project_id) / f"{sha256}.vault"
