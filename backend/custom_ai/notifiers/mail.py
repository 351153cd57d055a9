"""Mails by SMTP: plain text and HTML, with the picture of the result inside."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape

from custom_ai.errors import N_, SettingsError
from custom_ai.i18n import translator
from custom_ai.plugins import Notice, NotifierSpec, NotSent
from custom_ai.settings import Settings

TIMEOUT_S = 15.0
LOCAL = ("localhost", "127.0.0.1", "::1")
OPEN = N_("Open the project: {link}")
WHY = N_("You get this mail because you started it, or asked for mails about this project.")
STOP = N_("No more mails about this project: {link}")


class Mail:
    """The notifier ``mail``."""

    spec = NotifierSpec("mail", personal=True)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sender = settings.mail_from or settings.smtp_user
        if settings.smtp_host:
            try:
                Address(addr_spec=self._sender)
            except (ValueError, IndexError) as error:
                raise SettingsError(name="mail_from", why=N_("expected an e-mail address")) from error
            if settings.smtp_user and settings.smtp_security == "none" and settings.smtp_host not in LOCAL:
                raise SettingsError(
                    name="smtp_security", why=N_("the password would be sent in clear; use starttls or tls")
                )

    @property
    def ready(self) -> bool:
        return bool(self._settings.smtp_host)

    def addresses(self) -> Sequence[str]:
        return ()

    def send(self, notice: Notice, address: str) -> None:
        """Raises NotSent as long as the server has not got the whole mail; afterwards nobody knows."""
        try:
            message = composed(notice, self._sender, address)
        except (ValueError, IndexError) as error:
            raise NotSent(f"the address cannot be used: {error}", again=False) from error
        try:
            server = self._connected()
        except (OSError, smtplib.SMTPException) as error:
            raise NotSent(_told(error), again=not isinstance(error, smtplib.SMTPAuthenticationError)) from error
        try:
            try:
                _accepted(server.mail(self._sender))
                _accepted(server.rcpt(address))
            except (OSError, smtplib.SMTPException) as error:
                raise NotSent(_told(error), again=True) from error
            try:
                code, reply = server.data(message.as_bytes(policy=SMTP))
            except smtplib.SMTPDataError as error:  # the server does not want it; nothing was sent
                raise NotSent(_told(error), again=error.smtp_code < 500) from error
            _accepted((code, reply))
        finally:
            server.close()

    def _connected(self) -> smtplib.SMTP:
        settings, context = self._settings, ssl.create_default_context()
        server: smtplib.SMTP
        if settings.smtp_security == "tls":
            server = smtplib.SMTP_SSL(settings.smtp_host, settings.smtp_port, timeout=TIMEOUT_S, context=context)
        else:
            server = smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=TIMEOUT_S)
        try:
            if settings.smtp_security == "starttls":
                server.starttls(context=context)
            if settings.smtp_user:
                server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
            server.ehlo_or_helo_if_needed()
        except BaseException:
            server.close()
            raise
        return server


def composed(notice: Notice, sender: str, address: str) -> EmailMessage:
    """The mail. Raises ValueError for an address that is none."""
    _ = translator(notice.language)
    message = EmailMessage()
    host = sender.rpartition("@")[2]
    message["From"] = Address("Custom AI", addr_spec=sender)
    message["To"] = Address(addr_spec=address)
    message["Subject"] = " ".join(notice.title.split())
    message["Date"] = format_datetime(notice.at)
    message["Message-ID"] = f"<custom-ai-{notice.id}@{host}>"
    message["Auto-Submitted"] = "auto-generated"
    message["Content-Language"] = notice.language
    if notice.unsubscribe:
        message["List-Unsubscribe"] = f"<{notice.unsubscribe}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058
    lines = [notice.text, notice.way_out, _(OPEN).format(link=notice.link)]
    small = [_(WHY), _(STOP).format(link=notice.unsubscribe)] if notice.unsubscribe else []
    message.set_content("\n\n".join([line for line in lines if line] + (["-- \n" + "\n".join(small)] if small else [])))
    message.add_alternative(_html(notice), subtype="html")
    if notice.picture is not None:
        html = message.get_payload(1)
        assert isinstance(html, EmailMessage)
        html.add_related(notice.picture, "image", "jpeg", cid="<result>", filename="result.jpg", disposition="inline")
    return message


def _html(notice: Notice) -> str:
    _ = translator(notice.language)
    colour = "#b3261e" if notice.failure else "#1f2328"
    picture = '<p><img src="cid:result" alt="" style="max-width:100%;border-radius:6px"></p>' if notice.picture else ""
    way_out = f"<p>{escape(notice.way_out)}</p>" if notice.way_out else ""
    link, stop = escape(notice.link, quote=True), escape(notice.unsubscribe, quote=True)
    small = (
        f'<p style="color:#666;font-size:13px">{escape(_(WHY))} <a href="{stop}">{escape(_(N_("Unsubscribe")))}</a></p>'
        if stop
        else ""
    )
    return (
        f'<!doctype html><html lang="{notice.language}"><body style="font-family:system-ui,sans-serif;max-width:40em">'
        f'<h1 style="font-size:18px">{escape(notice.title)}</h1>'
        f'<p style="color:{colour}">{escape(notice.text)}</p>{way_out}{picture}'
        f'<p><a href="{link}">{escape(_(N_("Open the project")))}</a></p>{small}</body></html>'
    )


def _accepted(answer: tuple[int, bytes]) -> None:
    code, reply = answer
    if not 200 <= code < 300:
        raise NotSent(f"{code} {reply.decode(errors='replace')}", again=code < 500)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
