"""Settings: from where they come, who wins, and what is said about those that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from custom_ai.errors import SettingsError
from custom_ai.settings import Settings, load_settings


@pytest.mark.parametrize("name", ["threads", "port", "web_threads", "web_workers", "label_studio_url", "state_dir"])
def test_every_field_is_set_by_its_own_name_only(name: str) -> None:
    """THREADS and its like are customary names in the environment, of other fields than the name suggests."""
    plain = load_settings()
    value = Path("/elsewhere") if name == "state_dir" else "http://other:1" if name.endswith("url") else 3
    changed = load_settings(**{name: value})
    different = {key for key in Settings.model_fields if getattr(plain, key) != getattr(changed, key)}
    assert different == {name}
    assert getattr(changed, name) == value


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('threads = 2\nweb_threads = 5\nlabels_per_class = 12\nimage_hosts = ["a.example"]\n')
    assert (load_settings(file).threads, load_settings(file).web_threads) == (2, 5)
    monkeypatch.setenv("THREADS", "7")
    monkeypatch.setenv("CUSTOM_AI_LABELS_PER_CLASS", "15")
    read = load_settings(file)
    assert (read.threads, read.web_threads, read.labels_per_class) == (2, 7, 15)
    assert read.image_hosts == ("a.example",)
    assert load_settings(file, labels_per_class=20).labels_per_class == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("thread = 2", "thread in .*no such setting"),
        ("threads = -1", "CUSTOM_AI_THREADS cannot be used: Input should be greater than or equal to 0"),
        ("threads = ", "Invalid value"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=message):
        load_settings(file)


def test_a_slip_in_the_environment_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOM_AI_TREADS", "2")
    with pytest.raises(SettingsError, match="CUSTOM_AI_TREADS"):
        load_settings()
