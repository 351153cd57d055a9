"""One authenticated connection to Label Studio: retries, renewal of tokens, readable errors.

Label Studio's own redirects are not followed (the token stays on Label Studio's origin), and its
cookies are not kept. A session may be shared by threads, but not across a fork: make one per job.
"""

from __future__ import annotations

import http.cookiejar
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from custom_ai.errors import N_, LabelStudioError, LabelStudioMissing, LabelStudioUnreachable
from custom_ai.labelstudio.answers import describe, error_detail, origin_of
from custom_ai.labelstudio.tokens import Busy, Credentials, credentials_for, visitor_credentials

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 8.0
DETAIL_CHARS = 500
VISITOR_TIMEOUT_S = 5.0

REDIRECTS = N_("it redirects to another address; set CUSTOM_AI_LABEL_STUDIO_URL to the final one")
NOT_JSON = N_("the answer is not JSON; is this the address of a Label Studio?")

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""Failures after which Label Studio certainly did not act on the request."""

Params = Mapping[str, str | int]
Missing = tuple[str, object] | None
"""What a 404 is about: a kind of thing and its id."""


class Session:
    """Talks JSON with one Label Studio as one user.

    ``timeout_s`` is for one answer, ``retry_s`` for all attempts of one request together. Network
    errors and 5xx are tried again; 4xx never. A request that changes something is repeated after a
    lost *answer* only when the caller calls it ``idempotent``.
    """

    def __init__(self, url: str, api_key: str, *, timeout_s: float = 30.0, retry_s: float = 60.0) -> None:
        """An ``api_key`` that is empty or cannot work raises LabelStudioAuth at the first request."""
        self._start(url, credentials_for(api_key), timeout_s, retry_s)

    @classmethod
    def with_credentials(
        cls, url: str, *, authorization: str = "", cookie: str = "", timeout_s: float = VISITOR_TIMEOUT_S
    ) -> Self:
        """A session as somebody else: their Authorization header, or their `sessionid` cookie's value.

        Never retries. Raises LabelStudioAuth when neither can be used.
        """
        session = cls.__new__(cls)
        session._start(url, visitor_credentials(authorization, cookie), timeout_s, 0.0)
        return session

    def _start(self, url: str, credentials: Credentials, timeout_s: float, retry_s: float) -> None:
        self.url = url.rstrip("/")
        self.timeout_s = timeout_s
        self.retry_s = retry_s
        self._credentials = credentials
        refuse_all = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        self._client = httpx.Client(base_url=self.url, timeout=timeout_s, follow_redirects=False, cookies=refuse_all)

    def __repr__(self) -> str:
        return f"Session({self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port of Label Studio."""
        return origin_of(self.url)

    def get(self, path: str, params: Params | None = None, *, missing: Missing = None) -> Any:
        """GET; ``missing`` names the thing asked for in the error about a 404."""
        return self._json("GET", path, params=params, idempotent=True, missing=missing)

    def post(
        self,
        path: str,
        json: object = None,
        *,
        params: Params | None = None,
        files: Mapping[str, tuple[str, bytes]] | None = None,
        idempotent: bool = False,
        missing: Missing = None,
        timeout_s: float | None = None,
    ) -> Any:
        """POST JSON, or ``files`` (field name -> file name and bytes) as a form."""
        return self._json(
            "POST", path, json=json, params=params, files=files, idempotent=idempotent, missing=missing,
            timeout_s=timeout_s,
        )  # fmt: skip

    def patch(self, path: str, json: object, *, missing: Missing = None) -> Any:
        """PATCH sets values, so it may be repeated."""
        return self._json("PATCH", path, json=json, idempotent=True, missing=missing)

    def delete_json(
        self,
        path: str,
        json: object = None,
        *,
        missing: Missing = None,
        timeout_s: float | None = None,
    ) -> Any:
        """DELETE, with a JSON body when there is one; may be repeated."""
        return self._json("DELETE", path, json=json, idempotent=True, missing=missing, timeout_s=timeout_s)

    @contextmanager
    def stream(
        self, url: str, *, headers: Mapping[str, str] | None = None, retry_s: float | None = None
    ) -> Iterator[httpx.Response]:
        """Open a download on Label Studio's origin; the caller looks at the status and reads.

        ``url`` is a path below Label Studio's address or an absolute URL of the same origin. The
        response may be a redirect or an error of any kind except 401 (LabelStudioAuth); 5xx is
        handed out too. Raises LabelStudioUnreachable when no answer comes at all.
        """
        if "://" in url and origin_of(url) != self.origin:
            raise ValueError("the token is for Label Studio's origin only")
        response = self._send(
            "GET", url, idempotent=True, stream=True, headers=headers, retry_s=retry_s, hand_out_5xx=True
        )
        try:
            yield response
        finally:
            response.close()

    def _json(
        self,
        method: str,
        path: str,
        *,
        idempotent: bool,
        missing: Missing,
        timeout_s: float | None = None,
        **content: Any,
    ) -> Any:
        response = self._send(method, path, idempotent=idempotent, timeout_s=timeout_s, **content)
        status = response.status_code
        if status == 404:
            what, number = missing or (N_("page"), path)
            raise LabelStudioMissing(what=what, id=number)
        if not response.is_success:
            detail = REDIRECTS if response.is_redirect else self._detail(response)
            raise LabelStudioError(what=f"{method} {path}", http_status=status, detail=detail)
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError as error:
            raise LabelStudioError(what=f"{method} {path}", http_status=status, detail=NOT_JSON) from error

    def _send(
        self,
        method: str,
        path: str,
        *,
        idempotent: bool,
        stream: bool = False,
        retry_s: float | None = None,
        hand_out_5xx: bool = False,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        **content: Any,
    ) -> httpx.Response:
        """One request with all its attempts; returns any answer below 500 except 401."""
        give_up_at = time.monotonic() + (self.retry_s if retry_s is None else retry_s)
        attempt, renewed = 0, False
        while True:
            try:
                credentials = self._credentials.headers(self._client)
            except (httpx.TransportError, Busy) as error:
                detail, again = describe(error), True
            else:
                try:
                    request = self._client.build_request(
                        method,
                        path,
                        headers={**(headers or {}), **credentials},
                        timeout=timeout_s or self.timeout_s,
                        **content,
                    )
                    response = self._client.send(request, stream=stream)
                except httpx.TransportError as error:
                    detail, again = describe(error), idempotent or isinstance(error, _NOT_SENT)
                else:
                    if response.status_code == 401:
                        response.read()
                        if renewed or not self._credentials.renew():
                            raise self._credentials.refusal(self._detail(response))
                        renewed = True  # refused unseen, so even a POST may be repeated
                        continue
                    if response.status_code < 500 or hand_out_5xx:
                        return response
                    detail = f"HTTP {response.status_code}: {self._detail(response)}"
                    again = idempotent
            pause = random.uniform(0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**attempt))
            if not again or time.monotonic() + pause >= give_up_at:
                raise LabelStudioUnreachable(url=self.url, detail=detail)
            time.sleep(pause)
            attempt = min(attempt + 1, 10)

    def _detail(self, response: httpx.Response) -> str:
        """What Label Studio says about an error, for people; its reason phrase when it says nothing."""
        try:
            response.read()
            said = error_detail(response.json())
        except (ValueError, httpx.HTTPError):
            said = ""
        for secret in filter(None, self._credentials.secrets()):
            said = said.replace(secret, "***")
        return said[:DETAIL_CHARS] or response.reason_phrase or str(response.status_code)
