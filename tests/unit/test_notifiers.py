"""Mails to a real SMTP server with TLS, webhooks and chat to a real HTTP receiver; deliveries once, or later."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import json
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fake_label_studio import Call, Reply, serving
from sqlalchemy import select, update

from custom_ai import wiring
from custom_ai.errors import SettingsError
from custom_ai.notifiers.chat import Chat
from custom_ai.notifiers.mail import Mail
from custom_ai.notifiers.webhook import Webhook, signature
from custom_ai.pipeline import deliver as module
from custom_ai.pipeline import mail_wishes, vote
from custom_ai.pipeline.deliver import deliver
from custom_ai.plugins import Notice, NotifierSpec, NotSent
from custom_ai.services import Services
from custom_ai.settings import load_settings
from custom_ai.state.journal import notify
from custom_ai.state.tables import Delivery, Notification, Project, Run, Selection, now
from support import services_in
from zips import picture

SECRET = "s" * 40
USER, PASSWORD = "bot", "correct horse"


@dataclass
class Postman:
    """What the mail server does with mails."""

    mails: list[tuple[str, EmailMessage]] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    """To the next mails; then they are taken."""

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        if self.answers:
            return self.answers.pop(0)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.mails += [(to, message) for to in envelope.rcpt_tos]
        return "250 thanks"


def _authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=good, handled=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    today = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    cert, secret = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, private, plain))
    return cert, secret


@dataclass
class Server:
    postman: Postman
    port: int
    settings: dict[str, Any]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def server(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A mail server that wants STARTTLS and a password."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    postman, port = Postman(), free_port()
    controller = Controller(
        postman, hostname="127.0.0.1", port=port, tls_context=context, require_starttls=True,
        authenticator=_authenticate, auth_required=True,
    )  # fmt: skip
    controller.start()
    settings = {
        "smtp_host": "localhost", "smtp_port": port, "smtp_user": USER, "smtp_password": PASSWORD,
        "mail_from": "ai@example.org",
    }  # fmt: skip
    yield Server(postman, port, settings)
    controller.stop()


def services_with(folder: Path, **settings: Any) -> Services:
    made = services_in(folder, **settings)
    made = replace(made, notifiers=lambda: wiring.notifiers(made.settings))
    with made.database.write() as session:
        session.add(Project(id=7, title="고양이 & <dogs>", label_config="", available_classes=[]))
    return made


def tell(services: Services, *, to: str = "ann@example.org", failure: bool = False, event: str = "run_done") -> int:
    with services.database.write() as session:
        template = (
            "Auto-labelling failed: {why}"
            if failure
            else "The vote closes soon, at {at}. Until then every vote counts."
        )
        notify(session, 7, event, template, to=to, failure=failure, about="run 3", at="12:00", why="<b>disk</b>")
        session.flush()
        return session.scalars(select(Notification.id).order_by(Notification.id.desc())).first() or 0


def rows(services: Services) -> list[Delivery]:
    with services.database.read() as session:
        return list(session.scalars(select(Delivery).order_by(Delivery.id)))


def make_due(services: Services) -> None:
    with services.database.write() as session:
        session.execute(update(Delivery).values(due_at=now()))


def parts(message: EmailMessage) -> tuple[str, str]:
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    return text.get_content(), html.get_content()


def test_mails_in_each_recipients_language_and_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = services_with(tmp_path, **server.settings)
    monkeypatch.setattr(module, "picture_about", lambda *_: picture(3))
    mail_wishes.set_wishes(services, "bo@example.org", language="ko", projects={7: True})
    tell(services)
    for _ in range(3):
        deliver(services)
    assert [to for to, _ in server.postman.mails] == ["ann@example.org", "bo@example.org"]
    (_, english), (_, korean) = server.postman.mails
    assert english["Subject"] == "Custom AI: 고양이 & <dogs>"
    assert english["From"] == "Custom AI <ai@example.org>"
    assert english["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert english["Message-ID"] != korean["Message-ID"]
    text, html = parts(english)
    assert "The vote closes soon, at 12:00" in text
    assert "/projects/7" in text
    assert "고양이 &amp; &lt;dogs&gt;" in html
    assert "<dogs>" not in html
    (inline,) = [part for part in english.walk() if part.get_content_type() == "image/jpeg"]
    assert inline["Content-ID"] == "<result>"
    assert inline.get_content() == picture(3)
    assert 'src="cid:result"' in html
    text, html = parts(korean)
    assert "The vote closes soon" not in text
    assert "투표" in text
    assert '<html lang="ko">' in html
    assert [row.status for row in rows(services)] == ["sent", "sent"]


def test_who_gets_mails(server: Server, tmp_path: Path) -> None:
    services = services_with(tmp_path, **server.settings)
    with services.database.write() as session:
        session.add(
            Run(project_id=7, trigger="person", requested_by="cy@example.org", kind="box", classes=["x"], status="done")
        )
    tell(services, to="")  # nobody started it: the one who made the last run
    tell(services, to="custom-ai")
    tell(services, to="label-studio")  # no address
    mail_wishes.set_wishes(services, "cy@example.org", language=None, projects={7: False})
    deliver(services)
    assert server.postman.mails == []
    mail_wishes.set_wishes(services, "cy@example.org", language=None, projects={7: True})
    tell(services)
    deliver(services)
    assert [to for to, _ in server.postman.mails] == ["ann@example.org", "cy@example.org"]


def test_unsubscribing_holds_for_mails_on_their_way(server: Server, tmp_path: Path) -> None:
    services = services_with(tmp_path, **server.settings)
    server.postman.answers = ["451 later"]
    tell(services)
    deliver(services)
    (row,) = rows(services)
    assert (row.status, row.attempts) == ("waiting", 1)
    link = mail_wishes.unsubscribe_link(services, "ann@example.org", 7)
    mail_wishes.unsubscribe(services, link.rpartition("/")[2])
    make_due(services)
    deliver(services)
    (row,) = rows(services)
    assert (row.status, row.error) == ("failed", "unsubscribed")
    assert server.postman.mails == []


def test_a_dead_server_delays_mail_and_asks_once_per_round(server: Server, tmp_path: Path) -> None:
    services = services_with(tmp_path, **{**server.settings, "smtp_port": 9})
    for to in ("ann@example.org", "bo@example.org"):
        tell(services, to=to)
    deliver(services)
    assert sorted((row.status, row.attempts) for row in rows(services)) == [("waiting", 0), ("waiting", 1)]
    for _ in range(module.ATTEMPTS):
        make_due(services)
        deliver(services)
        waits = [row.due_at - now() for row in rows(services) if row.status == "waiting"]
        assert all(one <= module.LONGEST_PAUSE for one in waits)
    alive = replace(services, notifiers=lambda: {"mail": Mail(load_settings(**server.settings))})
    make_due(services)
    deliver(alive)
    assert len(server.postman.mails) >= 1, "what was not given up arrives when the server is back"


def test_refusals_are_told_apart(server: Server, tmp_path: Path) -> None:
    services = services_with(tmp_path, **server.settings)
    server.postman.answers = ["550 never", "451 later"]
    tell(services, to="ann@example.org")
    tell(services, to="bo@example.org")
    deliver(services)
    assert [(row.status, row.error) for row in rows(services)] == [("failed", "550 never"), ("waiting", "451 later")]
    wrong = Mail(load_settings(**{**server.settings, "smtp_password": "wrong"}))
    with pytest.raises(NotSent, match="535") as error:
        wrong.send(notice(), "ann@example.org")
    assert not error.value.again
    assert "wrong" not in str(error.value)


def test_the_certificate_is_checked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(NotSent, match="CERTIFICATE_VERIFY_FAILED"):
        Mail(load_settings(**server.settings)).send(notice(), "ann@example.org")
    assert server.postman.mails == []


def notice(**values: Any) -> Notice:
    made = Notice(
        id="5-ab", event="run_failed", failure=True, at=now(), project=7, project_title="고양이", title="A\nB",
        text="It failed.", way_out="Do it again.", link="http://x/projects/7", language="en",
    )  # fmt: skip
    return replace(made, **values)


def test_headers_cannot_be_forged(server: Server) -> None:
    mail = Mail(load_settings(**server.settings))
    mail.send(notice(title="a\r\nBcc: eve@example.org"), "ann@example.org")
    ((_, message),) = server.postman.mails
    assert message["Subject"] == "a Bcc: eve@example.org"
    assert message["Bcc"] is None
    with pytest.raises(NotSent, match="address"):
        mail.send(notice(), "ann@example.org\r\nRCPT TO:<eve@example.org>")


def test_webhooks_are_signed_and_tried_again(tmp_path: Path) -> None:
    statuses = [500, 204]
    with serving(lambda call: Reply(statuses.pop(0), b"")) as receiver:
        url = f"{receiver.url}/hook?token=hidden"
        services = services_with(tmp_path, webhook_urls=url, webhook_secret=SECRET)
        tell(services, failure=True)
        deliver(services)
        (row,) = rows(services)
        assert (row.status, row.error, row.attempts) == ("waiting", "HTTP 500", 1)
        assert row.due_at > now()
        assert "hidden" not in f"{row.address} {row.error}"
        deliver(services)  # not due yet
        make_due(services)
        deliver(services)
        deliver(services)
    assert [row.status for row in rows(services)] == ["sent"]
    first, second = receiver.calls
    assert first.headers["X-Custom-AI-Delivery"] == second.headers["X-Custom-AI-Delivery"]
    stamp = second.headers["X-Custom-AI-Timestamp"]
    assert second.headers["X-Custom-AI-Signature"] == f"sha256={signature(SECRET, stamp, second.body)}"
    assert signature("other" * 8, stamp, second.body) != signature(SECRET, stamp, second.body)
    content = json.loads(second.body)
    assert content["project"] == {"id": 7, "title": "고양이 & <dogs>"}
    assert (content["event"], content["failure"], content["text"]) == (
        "run_done", True, "Auto-labelling failed: <b>disk</b>",
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_chat_by_the_installation_and_by_the_project(tmp_path: Path) -> None:
    calls: list[Call] = []
    with serving(lambda call: (calls.append(call), Reply(200, b"{}"))[1]) as receiver:
        port = receiver.url.rpartition(":")[2]
        services = services_with(tmp_path, notify_urls=f"json://127.0.0.1:{port}/all")
        with services.database.write() as session:
            session.get_one(Project, 7).notify_urls = [f"json://127.0.0.1:{port}/seven"]
        tell(services)
        deliver(services)
    assert sorted(call.path for call in calls) == ["/all", "/seven"]
    assert "The vote closes soon" in json.loads(calls[0].body)["message"]
    with pytest.raises(SettingsError, match="notify_urls"):
        Chat(load_settings(notify_urls="nonsense://x"))


def test_who_claims_a_delivery_is_alone_and_may_die(tmp_path: Path) -> None:
    class Dying:
        spec = NotifierSpec("webhook")
        ready = True
        sent = 0

        def addresses(self) -> Sequence[str]:
            return ["here"]

        def send(self, notice: Notice, address: str) -> None:
            self.sent += 1
            deliver(services)  # somebody else at the same time
            raise ConnectionResetError("after the last byte")

    dying = Dying()
    services = services_in(tmp_path)
    services = replace(services, notifiers=lambda: {"webhook": dying})
    with services.database.write() as session:
        session.add(Project(id=7, title="x", label_config="", available_classes=[]))
    tell(services)
    deliver(services)
    assert dying.sent == 1
    (row,) = rows(services)
    assert row.status == "unknown"
    assert "after the last byte" in row.error
    with services.database.write() as session:
        session.execute(update(Delivery).values(status="sending", claimed_at=now() - 2 * module.LOST))
    deliver(services)
    assert [row.status for row in rows(services)] == ["unknown"]
    assert dying.sent == 1


def test_what_happened_before_anything_was_set_up_is_not_sent(tmp_path: Path) -> None:
    services = services_in(tmp_path)
    with services.database.write() as session:
        session.add(Project(id=7, title="x", label_config="", available_classes=[]))
    tell(services)
    deliver(services)
    with serving(lambda call: Reply(200, b"")) as receiver:
        settings = load_settings(webhook_urls=receiver.url, webhook_secret=SECRET)
        deliver(replace(services, notifiers=lambda: {"webhook": Webhook(settings)}))
    assert receiver.calls == []
    assert rows(services) == []


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"notifiers": "mail,pigeon"}, "pigeon"),
        ({"smtp_host": "mail.example.org"}, "mail_from"),
        ({"smtp_host": "mail.example.org", "smtp_user": "a@b.c", "smtp_security": "none"}, "smtp_security"),
        ({"webhook_urls": "https://x"}, "webhook_secret"),
        ({"webhook_urls": "ftp://x", "webhook_secret": SECRET}, "webhook_urls"),
        ({"webhook_urls": "https://x", "webhook_secret": "short"}, "webhook_secret"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        wiring.notifiers(load_settings(**settings))


def test_a_notifier_must_keep_its_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        name = "pigeon"

        def load(self) -> Any:
            return lambda settings: type("Pigeon", (), {"ready": True, "spec": NotifierSpec("dove")})()

    monkeypatch.setattr(wiring, "entry_points", lambda group: [Entry()])
    with pytest.raises(SettingsError, match="dove"):
        wiring.notifiers(load_settings(notifiers="pigeon"))


def test_a_vote_that_closes_soon_is_told_once(tmp_path: Path) -> None:
    services = services_with(tmp_path)
    with services.database.write() as session:
        run = Run(project_id=7, trigger="person", requested_by="a@b.c", kind="box", classes=["x"], status="done")
        session.add(run)
        session.flush()
        one = Selection(project_id=7, run_id=run.id, candidate_ids=[1], rounds=1, deadline_at=now() + timedelta(days=9))
        session.add(one)
        session.flush()
        number = one.id

    def told() -> int:
        vote.tell_closing(services)
        with services.database.read() as session:
            return len(session.scalars(select(Notification).where(Notification.event == "selection_closing")).all())

    assert told() == 0
    with services.database.write() as session:
        session.get_one(Selection, number).opened_at = now() - timedelta(days=9)
        session.get_one(Selection, number).deadline_at = now() + timedelta(hours=20)
    assert told() == 1
    assert told() == 1
