"""One small tree of errors, each with a text that is meant for people.

The English template is also the key into the translation catalogue (see ``i18n``); whoever shows an
error picks the language: ``error.text(translate)``. Anything that is not a CustomAIError is shown
as an internal error with a log id, never with its own text. Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar


def N_(message: str) -> str:
    """Mark a message for translation without translating it."""
    return message


TRANSLATED = ("why", "what")
"""Values of messages that may be messages; others, such as the name of a class, are shown as they are."""


class CustomAIError(Exception):
    """Base of all errors that people may see: a code for programs, a template for people."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    template: ClassVar[str] = N_("Something went wrong.")

    def __init__(self, **params: object) -> None:
        self.params = params
        super().__init__(self.text())

    def __reduce__(self) -> tuple[Callable[..., CustomAIError], tuple[type[CustomAIError], dict[str, object]]]:
        return _made_again, (type(self), self.params)  # exceptions are pickled with positional arguments otherwise

    def text(self, translate: Callable[[str], str] = str) -> str:
        """The message in the language of ``translate``, with the values filled in.

        The values of ``why`` and ``what`` may be messages themselves (marked with N_) and are translated too.
        """
        values = {
            name: translate(value) if name in TRANSLATED and isinstance(value, str) and value else value
            for name, value in self.params.items()
        }
        return translate(self.template).format(**values)


def _made_again(kind: type[CustomAIError], params: dict[str, object]) -> CustomAIError:
    return kind(**params)


class BadInput(CustomAIError):
    code, status = "bad_input", 400
    template = N_("{what} cannot be used: {why}.")


class NotFound(CustomAIError):
    code, status = "not_found", 404
    template = N_("{what} {id} does not exist here.")


class Conflict(CustomAIError):
    code, status = "conflict", 409
    template = N_("That is not possible now: {why}.")


class NotReady(CustomAIError):
    code, status = "not_ready", 409
    template = N_("Not enough labels yet: {missing}. Every chosen class needs {needed}.")


class ArchiveTooLarge(BadInput):
    code, status = "archive_too_large", 413
    template = N_(
        "An archive of {size} bytes is not taken, at most {limit} are (CUSTOM_AI_UPLOAD_MAX_BYTES). "
        "Split it into several archives."
    )


class UploadIncomplete(Conflict):
    code = "upload_incomplete"
    template = N_("{there} of {size} bytes have arrived. Send the rest from there on.")


class Unauthorized(CustomAIError):
    code, status = "unauthorized", 401
    template = N_("Please sign in to Label Studio at {url} first, or send a Label Studio token.")


class LinkInvalid(CustomAIError):
    code, status = "link_invalid", 403
    template = N_("This link cannot be used: {why}. Ask the person who sent it to you for a new one.")


class VoteOver(CustomAIError):
    code, status = "vote_over", 410
    template = N_("This vote is closed. Thank you for your interest!")


class SettingsError(CustomAIError):
    code = "settings"
    template = N_("The setting {name} cannot be used: {why}.")


class Cancelled(CustomAIError):
    code, status = "cancelled", 409
    template = N_("Cancelled on request.")


class DiskFull(CustomAIError):
    code, status = "disk_full", 507
    template = N_(
        "There is no room left in {folder}: free some space there, or move CUSTOM_AI_STATE_DIR to another disk."
    )


class OutOfMemory(CustomAIError):
    code, status = "out_of_memory", 507
    template = N_("There is not enough memory: close other programs, or use a machine with more.")


# Label Studio


class LabelStudioError(CustomAIError):
    """Label Studio answered, but not with what was asked for. Not worth a retry."""

    code, status = "label_studio", 502
    template = N_("Label Studio refused {what} with HTTP {http_status}: {detail}")


class LabelStudioUnreachable(CustomAIError):
    """No answer, or 5xx, after all retries. Worth trying again later."""

    code, status = "label_studio_unreachable", 503
    template = N_("Label Studio at {url} does not answer ({detail}). Is it running, and is the URL right?")


class LabelStudioAuth(CustomAIError):
    code, status = "label_studio_auth", 502
    template = N_("Label Studio refused our token: {why}")


class LabelStudioMissing(CustomAIError):
    code, status = "label_studio_missing", 404
    template = N_("Label Studio has no {what} {id} that our token may see.")


class LabelConfigError(CustomAIError):
    code, status = "label_config", 422
    template = N_("The labelling config of project {project} cannot be used: {why}.")


# Images


class ImageError(CustomAIError):
    """This image cannot be used; other images may be fine."""

    code, status = "image", 422
    template = N_("The image {image} cannot be used: {why}.")


class ImageForbidden(ImageError):
    code = "image_forbidden"
    template = N_("The image {image} was not fetched: {why}.")


# Training


class TrainingError(CustomAIError):
    code = "training"
    template = N_("Training failed: {why}.")


class ClassVanished(CustomAIError):
    """A class that was to be trained has nothing to train on any more."""

    code, status = "class_vanished", 409
    template = N_("There is nothing to learn {label} from: {why}. Start again without it, or when that is put right.")


class WeightsError(CustomAIError):
    """Base weights cannot be had. Training goes on without them."""

    code, status = "weights", 502
    template = N_("The base weights {name} could not be had: {why}.")


class ModelError(CustomAIError):
    code = "model"
    template = N_("The model {model} cannot be used: {why}.")
