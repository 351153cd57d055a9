// Copies the link of a voter.
"use strict";

(() => {
  const field = document.getElementById("link");
  const button = document.getElementById("copy");
  if (!navigator.clipboard) return; // only on https and localhost: elsewhere people copy by hand
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(field.value);
    button.textContent = button.dataset.done;
  });
})();
