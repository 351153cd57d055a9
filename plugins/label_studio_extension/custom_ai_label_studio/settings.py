"""Label Studio's own settings and Custom AI: for ``DJANGO_SETTINGS_MODULE=custom_ai_label_studio.settings``.

Who has settings of their own adds the last two lines to them.
"""

# Both, in this order: while the second one loads, it asks django.conf.settings for what the first one has.
from core.settings.base import *  # noqa: F403
from label_studio.core.settings.label_studio import *  # noqa: F403

from custom_ai_label_studio.into_settings import add

add(globals())
