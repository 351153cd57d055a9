// Shows how far an import is, and goes to the project when it has ended well.
"use strict";

(() => {
  const PAUSE_MS = 1500;
  const place = document.getElementById("import");
  const lost = document.getElementById("lost");
  const busy = () => place.querySelector("[data-busy]") !== null;
  let watched = busy();

  async function look() {
    const answer = await fetch(place.dataset.liveUrl, { headers: { Accept: "text/html" } });
    if (answer.status === 401) return location.reload(); // signed out: the page explains
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const html = await answer.text();
    const focused = document.activeElement?.id;
    place.innerHTML = html;
    if (focused) document.getElementById(focused)?.focus();
  }

  async function loop() {
    if (!document.hidden) {
      try {
        await look();
        lost.hidden = true;
      } catch {
        lost.hidden = false;
      }
    }
    const done = place.querySelector("[data-go]");
    if (done && watched) return location.assign(done.dataset.go);
    if (busy()) setTimeout(loop, PAUSE_MS);
  }

  if (watched) setTimeout(loop, PAUSE_MS);
})();
