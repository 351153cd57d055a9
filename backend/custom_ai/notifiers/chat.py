"""Chat and push by apprise: Slack, Teams, Discord, Telegram and many others, each by an address of its own."""

from __future__ import annotations

from collections.abc import Sequence

from custom_ai.errors import N_, SettingsError
from custom_ai.plugins import Notice, NotifierSpec, NotSent
from custom_ai.settings import Settings

UNKNOWN = N_("one of the addresses is none that apprise knows; see its list of services")


class Chat:
    """The notifier ``apprise``."""

    spec = NotifierSpec("apprise", per_project=True)

    def __init__(self, settings: Settings) -> None:
        self._urls = settings.notify_urls.get_secret_value().split()
        if self._urls and not all(map(usable, self._urls)):
            raise SettingsError(name="notify_urls", why=UNKNOWN)

    @property
    def ready(self) -> bool:
        return True  # projects may have addresses though the installation has none

    def addresses(self) -> Sequence[str]:
        return self._urls

    def send(self, notice: Notice, address: str) -> None:
        """Raises NotSent; apprise does not tell why, only in its log, without the address's secrets."""
        from apprise import Apprise, NotifyType

        sender = Apprise()
        if not sender.add(address):
            raise NotSent("apprise does not know the address", again=False)
        text = "\n".join(line for line in (notice.text, notice.way_out, notice.link) if line)
        kind = NotifyType.FAILURE if notice.failure else NotifyType.INFO
        if not sender.notify(body=text, title=notice.title, notify_type=kind):
            raise NotSent("the service did not take it", again=True)


def usable(address: str) -> bool:
    """Whether apprise knows what to do with an address."""
    from apprise import Apprise

    return bool(Apprise.instantiate(address))
