// Asks again for parts of a page that are still being worked out (data-again), until they are there.
"use strict";

(() => {
  const PAUSE_MS = 5000;
  const waiting = () => [...document.querySelectorAll("[data-again][id]")];

  async function look() {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of waiting()) {
      const next = fresh.getElementById(old.id);
      if (next && !next.hasAttribute("data-again")) old.replaceWith(document.adoptNode(next));
    }
  }

  async function loop() {
    if (!document.hidden) await look().catch(() => {}); // no connection: the next time
    if (waiting().length) setTimeout(loop, PAUSE_MS);
  }

  if (waiting().length) setTimeout(loop, PAUSE_MS);
})();
