// Areas are drawn in the image; each becomes a field of the form. Without this script their edges can be typed.
"use strict";
(() => {
  const image = document.getElementById("hidden-image");
  const form = document.getElementById("areas");
  const list = document.getElementById("drawn");
  const LEAST = 4;  // screen pixels: less was a click
  const size = image.viewBox.baseVal;
  let number = 0;
  let begun = null;

  const clamp = (value, most) => Math.min(Math.max(value, 0), most);

  function point(event) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(image.getScreenCTM().inverse());
    return { x: clamp(at.x, size.width), y: clamp(at.y, size.height), sx: event.clientX, sy: event.clientY };
  }

  function group() {
    const made = document.createElementNS(image.namespaceURI, "g");
    made.setAttribute("class", "drawn");
    for (const name of ["halo", "line"]) {
      const rect = document.createElementNS(image.namespaceURI, "rect");
      rect.setAttribute("class", name);
      made.append(rect);
    }
    image.append(made);
    return made;
  }

  function place(made, a, b) {
    for (const rect of made.children) {
      rect.setAttribute("x", Math.min(a.x, b.x));
      rect.setAttribute("y", Math.min(a.y, b.y));
      rect.setAttribute("width", Math.abs(a.x - b.x));
      rect.setAttribute("height", Math.abs(a.y - b.y));
    }
  }

  function keep(made, a, b) {
    const edges = [Math.min(a.x, b.x), Math.min(a.y, b.y), Math.max(a.x, b.x), Math.max(a.y, b.y)];
    const item = document.createElement("li");
    const field = document.createElement("input");
    field.type = "hidden";
    field.name = "add";
    field.value = edges.map((edge) => edge.toFixed(1)).join(",");
    const undo = document.createElement("button");
    undo.type = "button";
    undo.textContent = form.dataset.undo;
    undo.addEventListener("click", () => { item.remove(); made.remove(); });
    number += 1;
    item.append(form.dataset.drawn.replace("{number}", number), field, undo);
    list.append(item);
  }

  image.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    image.setPointerCapture(event.pointerId);
    begun = { at: point(event), made: group() };
  });
  image.addEventListener("pointermove", (event) => { if (begun) place(begun.made, begun.at, point(event)); });
  image.addEventListener("pointerup", (event) => {
    if (!begun) return;
    const end = point(event);
    if (Math.abs(end.sx - begun.at.sx) < LEAST || Math.abs(end.sy - begun.at.sy) < LEAST) begun.made.remove();
    else keep(begun.made, begun.at, end);
    begun = null;
  });
  image.addEventListener("pointercancel", () => { if (begun) begun.made.remove(); begun = null; });

  for (const box of form.querySelectorAll("[name=remove]")) {
    const area = image.querySelector(`[data-place="${box.value}"]`);
    box.addEventListener("change", () => area.classList.toggle("removed", box.checked));
    for (const [event, on] of [["mouseenter", true], ["mouseleave", false], ["focusin", true], ["focusout", false]])
      box.parentElement.addEventListener(event, () => area.classList.toggle("pointed", on));
  }
})();
