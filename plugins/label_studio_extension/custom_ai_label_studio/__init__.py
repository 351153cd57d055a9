"""Custom AI in Label Studio's own menus. Switched on by ``DJANGO_SETTINGS_MODULE=custom_ai_label_studio.settings``.

The plain modules (``config``, ``assertions``, ``server``, ``forms``, ``work``, ``words``) know neither Django nor Label
Studio; ``settings``, ``apps``, ``actions``, ``views``, ``urls`` and ``middleware`` are the thin part that does.
"""

KNOWN_VERSIONS = ("1.23.",)
"""Beginnings of the Label Studio versions with which it was tried."""
