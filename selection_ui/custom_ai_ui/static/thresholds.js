// Shows beside the auto-label form what would remain at which threshold; without scripts there is a link instead.
"use strict";

(() => {
  const tables = new Map(); // address -> HTML; it never changes for a model
  const find = (id) => document.getElementById(id);

  function prepare() {
    const preview = find("preview");
    if (!preview || !preview.hidden) return;
    preview.hidden = false;
    find("preview-link").hidden = true;
    preview.addEventListener("toggle", load);
    find("auto-model").addEventListener("change", load);
    if (preview.open) load();
  }

  async function load() {
    if (!find("preview").open) return;
    const place = find("preview-table");
    const address = find("auto-model").selectedOptions[0].dataset.thresholds;
    place.dataset.shows = address;
    if (!tables.has(address)) {
      place.textContent = place.dataset.loading;
      try {
        const answer = await fetch(`${address}?part=1`, { headers: { Accept: "text/html" } });
        if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
        tables.set(address, await answer.text());
      } catch {
        if (place.dataset.shows === address) place.textContent = place.dataset.failed;
        return;
      }
    }
    if (place.dataset.shows === address) place.innerHTML = tables.get(address);
  }

  document.addEventListener("click", (event) => {
    const images = event.target.closest("#preview-images-link");
    if (images) {
      // Of the model and with the threshold that stand in the form now.
      const threshold = find("auto-threshold").value;
      images.href = find("auto-model").selectedOptions[0].dataset.preview + (threshold ? `?threshold=${encodeURIComponent(threshold)}` : "");
      return;
    }
    const chosen = event.target.closest("#preview-table a[data-threshold]");
    if (!chosen) return;
    event.preventDefault();
    const field = find("auto-threshold");
    field.value = chosen.dataset.threshold;
    field.focus();
  });
  document.addEventListener("live-replaced", prepare);
  prepare();
})();
