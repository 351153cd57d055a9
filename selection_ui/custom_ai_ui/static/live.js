// Keeps the live parts of a page up to date: every 2 s while something runs, otherwise seldom, never while the page
// is hidden, and ever more seldom while the server does not answer.
"use strict";

(() => {
  const BUSY_MS = 2000;
  const IDLE_MS = 10000;
  const LONGEST_MS = 60000;
  const PATIENCE_MS = 15000;
  const live = document.getElementById("live");
  const lost = document.getElementById("lost");
  const announce = document.getElementById("announce");
  const shown = new Map(); // name of a part -> its HTML as the server sent it
  let failures = 0;
  let timer = 0;
  let asking = false;

  const part = (name) => document.querySelector(`[data-live="${name}"]`);
  const busy = () => live.querySelector("[data-busy]") !== null;

  function pause() {
    const usual = busy() ? BUSY_MS : IDLE_MS;
    return failures ? Math.min(LONGEST_MS, usual * 2 ** failures) : usual;
  }

  // What somebody is filling in stays as it is; so does a form that came back with the reason (data-typed).
  function edited(old) {
    return [...old.querySelectorAll("input, select")].some((field) => {
      const ticked = field.type === "checkbox" || field.type === "radio";
      if (field === document.activeElement && !ticked) return true;
      if (ticked) return field.checked !== field.defaultChecked;
      if (field.options) return [...field.options].some((one) => one.selected !== one.defaultSelected);
      return field.value !== field.defaultValue;
    });
  }

  function replace(old, html) {
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    const open = [...old.querySelectorAll("details[open][id]")].map((one) => one.id);
    old.innerHTML = html;
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    localiseTimes(old);
    document.dispatchEvent(new CustomEvent("live-replaced", { detail: old }));
  }

  function take(next) {
    const name = next.dataset.live;
    const old = part(name);
    if (!old || old.hasAttribute("data-typed") || edited(old)) return;
    if (shown.get(name) !== next.innerHTML) {
      const first = !shown.has(name);
      shown.set(name, next.innerHTML);
      // The page came with this very part: putting it in place again would only close what was opened.
      if (!first || normal(old) !== normal(next)) replace(old, next.innerHTML);
    }
    old.hidden = next.hidden;
    old.toggleAttribute("data-busy", next.hasAttribute("data-busy"));
    if (next.dataset.say !== undefined && next.dataset.say !== old.dataset.say) {
      old.dataset.say = next.dataset.say;
      announce.textContent = next.dataset.say;
      document.querySelector(".flashes")?.replaceChildren(); // "training begins" is old news when it has ended
    }
  }

  // What a part says, without what this browser has changed in it (local times).
  function normal(element) {
    const copy = element.cloneNode(true);
    for (const time of copy.querySelectorAll("time")) time.replaceWith(time.dateTime);
    return copy.textContent.replace(/\s+/g, " ");
  }

  async function refresh() {
    const answer = await fetch(live.dataset.liveUrl, {
      headers: { Accept: "text/html" },
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (answer.status === 401 || answer.status === 404) return location.reload(); // the page explains
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const next of fresh.querySelectorAll("[data-live]")) take(next);
  }

  async function turn() {
    clearTimeout(timer);
    if (asking || document.hidden) return; // visibilitychange goes on
    asking = true;
    try {
      await refresh();
      failures = 0;
    } catch {
      failures += 1;
    }
    asking = false;
    tell();
    timer = setTimeout(turn, pause());
  }

  // One short hiccup is not worth a word. A status region speaks when its text changes, not when it is uncovered.
  function tell() {
    const away = failures > 1;
    if (lost.hidden === !away) return;
    lost.hidden = !away;
    lost.textContent = away ? lost.dataset.text : "";
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) turn();
  });
  addEventListener("online", turn);
  timer = setTimeout(turn, pause());
})();
