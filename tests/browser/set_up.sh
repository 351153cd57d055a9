#!/bin/sh
# Brings what the browser tests and the screenshots need: Chromium, and a font with Korean letters.
# Where it cannot, it says what to install, and fails. CHROMIUM=/path/to/chromium names a browser of your own.
set -u
packages=""

browser() {
    if [ -n "${CHROMIUM:-}" ]; then
        [ -x "$CHROMIUM" ]
        return
    fi
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        if command -v "$name" >/dev/null 2>&1; then return 0; fi
    done
    return 1
}

korean() {
    # Without fontconfig (macOS, Windows) the system brings its own.
    ! command -v fc-list >/dev/null 2>&1 || [ -n "$(fc-list :lang=ko family)" ]
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

if [ -n "${CHROMIUM:-}" ] && ! browser; then
    echo "CHROMIUM=$CHROMIUM is no program that can be started." >&2
    exit 1
fi
if ! browser; then packages="chromium fonts-noto-cjk"; elif ! korean; then packages="fonts-noto-cjk"; fi
[ -z "$packages" ] && exit 0

if command -v apt-get >/dev/null 2>&1; then
    echo "Installing for the browser tests: $packages"
    # An update that fails (one source of several is away) is no reason not to try.
    as_root env DEBIAN_FRONTEND=noninteractive sh -c "
        apt-get -qq update
        apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $packages >/dev/null"
fi
if ! browser; then
    echo "The browser tests need Chromium, and it could not be installed from here. Install it" >&2
    echo "(Debian, Ubuntu: sudo apt-get install $packages; Fedora: sudo dnf install chromium google-noto-sans-cjk-fonts;" >&2
    echo "macOS: brew install --cask chromium), or name one: CHROMIUM=/path/to/chromium make test" >&2
    exit 1
fi
if ! korean; then
    echo "The browser tests need a font with Korean letters (Debian, Ubuntu: sudo apt-get install fonts-noto-cjk)." >&2
    exit 1
fi
