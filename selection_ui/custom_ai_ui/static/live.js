// Keeps the live parts of the dashboard up to date: every 2 s while something runs, otherwise seldom.
"use strict";

(() => {
  const BUSY_MS = 2000;
  const IDLE_MS = 10000;
  const live = document.getElementById("live");
  const lost = document.getElementById("lost");
  const shown = new Map(); // name of a part -> its HTML as the server sent it

  const busy = () => live.querySelector("[data-busy]") !== null;

  // What somebody is filling in stays as it is.
  function edited(part) {
    const fields = [...part.querySelectorAll("input, select")];
    return fields.some((field) => {
      const ticked = field.type === "checkbox" || field.type === "radio";
      if (field === document.activeElement && !ticked) return true;
      if (ticked) return field.checked !== field.defaultChecked;
      if (field.options) return [...field.options].some((one) => one.selected !== one.defaultSelected);
      return field.value !== field.defaultValue;
    });
  }

  function replace(part, html) {
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    const open = [...part.querySelectorAll("details[open][id]")].map((one) => one.id);
    part.innerHTML = html;
    part.toggleAttribute("data-busy", false);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) document.getElementById(focused)?.focus();
    localiseTimes(part);
  }

  async function refresh() {
    const answer = await fetch(live.dataset.liveUrl, { headers: { Accept: "text/html" } });
    if (answer.status === 401) return location.reload(); // signed out: the page explains
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const next of fresh.querySelectorAll("[data-live]")) {
      const name = next.dataset.live;
      const part = live.querySelector(`[data-live="${name}"]`);
      if (!part || edited(part)) continue;
      if (shown.get(name) !== next.innerHTML) {
        shown.set(name, next.innerHTML);
        replace(part, next.innerHTML);
      }
      part.toggleAttribute("data-busy", next.hasAttribute("data-busy"));
    }
  }

  async function loop() {
    if (!document.hidden) {
      try {
        await refresh();
        lost.hidden = true;
      } catch {
        lost.hidden = false;
      }
    }
    setTimeout(loop, busy() ? BUSY_MS : IDLE_MS);
  }

  setTimeout(loop, busy() ? BUSY_MS : IDLE_MS);
})();
