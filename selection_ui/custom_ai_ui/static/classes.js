// The classes as rows with a name and a colour; what is sent is the text that browsers without JavaScript show.
"use strict";

(() => {
  const text = document.getElementById("classes");
  const rows = document.getElementById("classes-rows");
  const palette = rows.dataset.colours.split(" ");

  const names = () => [...rows.querySelectorAll("input[type=text]")];

  function number() {
    [...rows.children].forEach((row, index) => {
      const [name, colour, remove] = row.children;
      name.setAttribute("aria-label", rows.dataset.name.replace("{number}", index + 1));
      colour.setAttribute("aria-label", rows.dataset.colour.replace("{number}", index + 1));
      remove.setAttribute("aria-label", rows.dataset.remove.replace("{number}", index + 1));
    });
    require();
  }

  // One name there must be; the browser says so at the first field.
  function require() {
    const none = names().every((one) => !one.value.trim());
    names().forEach((one, index) => { one.required = none && index === 0; });
  }

  function freeColour() {
    const used = new Set([...rows.querySelectorAll("input[type=color]")].map((one) => one.value));
    return palette.find((one) => !used.has(one)) ?? palette[rows.children.length % palette.length];
  }

  function add(name = "", colour = freeColour()) {
    const row = document.createElement("div");
    row.className = "class-row";
    const field = Object.assign(document.createElement("input"), { type: "text", maxLength: 100, value: name });
    field.autocomplete = "off";
    field.addEventListener("input", require);
    const picker = Object.assign(document.createElement("input"), { type: "color", value: colour });
    const remove = Object.assign(document.createElement("button"), { type: "button", textContent: "✕" });
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return; // composing: a Korean syllable is being finished
      event.preventDefault();
      if (field.value.trim()) (row.nextElementSibling ?? add()).querySelector("input").focus();
    });
    remove.addEventListener("click", () => {
      const next = row.nextElementSibling ?? row.previousElementSibling;
      row.remove();
      if (!rows.children.length) add();
      number();
      (next ?? rows.firstElementChild).querySelector("input").focus();
    });
    row.append(field, picker, remove);
    rows.append(row);
    number();
    return row;
  }

  for (const line of text.value.split("\n").map((one) => one.trim()).filter(Boolean)) {
    const parts = /^(.+) (#[0-9a-fA-F]{6})$/.exec(line);
    if (parts) add(parts[1].trim(), parts[2].toLowerCase());
    else add(line);
  }
  if (!rows.children.length) {
    add();
    add();
  }
  document.getElementById("classes-text").hidden = true;
  rows.hidden = false;
  document.getElementById("add-class").addEventListener("click", () => add().querySelector("input").focus());
  text.form.addEventListener("submit", () => {
    const filled = names().filter((one) => one.value.trim());
    text.value = filled.map((one) => `${one.value.trim()} ${one.nextElementSibling.value}`).join("\n");
  });
})();
