"""What ``make test`` does about the browser: nothing where there is one, apt where there is none, else plain words."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "browser" / "set_up.sh"
TOOLS = ("sh", "id", "env", "cat", "chmod", "mkdir")


class Machine:
    """A folder of programs, and what became of a call of the script with nothing else on the path."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder
        for name in TOOLS:
            found = shutil.which(name)
            assert found
            (folder / name).symlink_to(found)

    def program(self, name: str, script: str = "") -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def apt(self, *brings: str, works: bool = True) -> None:
        """An apt-get that notes what it is called with."""
        installed = "\n".join(f"printf '#!/bin/sh\\necho {name}\\n' > {self.bin}/{name}" for name in brings)
        chmods = "\n".join(f"chmod 755 {self.bin}/{name}" for name in brings)
        does = f'case "$*" in *install*)\n{installed}\n{chmods}\n;; esac' if works else "exit 100"
        self.program("apt-get", f'echo "$*" >> {self.bin}/apt.log\n{does}')
        self.program("sudo", 'shift; exec "$@"')

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", SCRIPT], env={"PATH": str(self.bin), **environment}, capture_output=True, text=True, timeout=20
        )

    @property
    def asked(self) -> str:
        log = self.bin / "apt.log"
        return log.read_text() if log.exists() else ""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_machine_that_has_all_needs_no_apt(machine: Machine) -> None:
    machine.program("chromium")
    machine.program("fc-list", "echo Noto Sans CJK KR")
    machine.apt(works=False)
    done = machine.run()
    assert done.returncode == 0 and not machine.asked


def test_a_fresh_machine_gets_both(machine: Machine) -> None:
    machine.apt("chromium", "fc-list")
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert "update" in machine.asked and "chromium fonts-noto-cjk" in machine.asked


def test_a_font_alone_is_brought_too(machine: Machine) -> None:
    machine.program("google-chrome")
    machine.program("fc-list")
    machine.apt("fc-list")
    assert machine.run().returncode == 0
    assert "fonts-noto-cjk" in machine.asked and "chromium" not in machine.asked


def test_without_any_way_it_fails_and_says_so(machine: Machine) -> None:
    machine.apt(works=False)
    done = machine.run()
    assert done.returncode != 0
    assert "need Chromium" in done.stderr and "CHROMIUM=/path/to/chromium" in done.stderr
    (machine.bin / "apt-get").unlink()
    assert machine.run().returncode != 0


def test_a_browser_of_ones_own(machine: Machine) -> None:
    machine.program("mine")
    assert machine.run(CHROMIUM=str(machine.bin / "mine")).returncode == 0
    wrong = machine.run(CHROMIUM=str(machine.bin / "other"))
    assert wrong.returncode != 0 and "is no program that can be started" in wrong.stderr
