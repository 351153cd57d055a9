// Fills in parts of a page that are slow to make: <div data-load="address">.
"use strict";

for (const place of document.querySelectorAll("[data-load]")) {
  fetch(place.dataset.load, { headers: { Accept: "text/html" } })
    .then((answer) => (answer.ok ? answer.text() : Promise.reject(new Error(answer.status))))
    .then((html) => { place.innerHTML = html; })
    .catch(() => {}); // what stands there, a link to the same as a page, stays
}
