// The vote: keys, and one zoom for all pictures. Picking and sending work without this.
"use strict";

(() => {
  const MOST = 12;
  const form = document.getElementById("round");
  const say = document.getElementById("say");
  const names = document.getElementById("show-names");
  const pictures = [...form.querySelectorAll("svg")];
  const width = Number(pictures[0].dataset.width);
  const height = Number(pictures[0].dataset.height);
  const view = { x: 0, y: 0, zoom: 1 }; // the visible part: left, top in image pixels, magnification

  function draw() {
    const w = width / view.zoom;
    const h = height / view.zoom;
    view.x = Math.min(Math.max(view.x, 0), width - w);
    view.y = Math.min(Math.max(view.y, 0), height - h);
    form.classList.toggle("zoomed", view.zoom > 1);
    for (const picture of pictures) {
      picture.setAttribute("viewBox", `${view.x} ${view.y} ${w} ${h}`);
      // Image pixels per pixel on the screen, so that text keeps its size.
      const scale = Math.min(picture.clientWidth / w, picture.clientHeight / h);
      picture.style.setProperty("--unit", scale > 0 ? String(1 / scale) : "1");
      picture.classList.add("sized");
    }
  }

  // Where on the image the pointer is; pictures keep their proportions within their frame.
  function at(picture, event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
    return { x: point.x, y: point.y };
  }

  function zoomTo(zoom, point = { x: view.x + width / view.zoom / 2, y: view.y + height / view.zoom / 2 }) {
    const next = Math.min(Math.max(zoom, 1), MOST);
    view.x = point.x - ((point.x - view.x) * view.zoom) / next;
    view.y = point.y - ((point.y - view.y) * view.zoom) / next;
    view.zoom = next;
    draw();
  }

  const toggleZoom = (point) => zoomTo(view.zoom > 1 ? 1 : 2.5, point);

  function send() {
    const picked = form.querySelector("input[name=pick]:checked") !== null;
    say.textContent = picked ? "" : say.dataset.text;
    if (picked) form.submit();
  }

  let pointer = null; // where the last pointer was, for Z
  for (const picture of pictures) {
    let drag = null;
    picture.addEventListener("pointermove", (event) => {
      pointer = at(picture, event);
      if (!drag || event.pointerId !== drag.id) return;
      drag.moved ||= Math.hypot(event.clientX - drag.left, event.clientY - drag.top) > 5;
      if (drag.moved) {
        view.x += drag.point.x - pointer.x;
        view.y += drag.point.y - pointer.y;
        draw();
      }
    });
    picture.addEventListener("pointerleave", () => { pointer = null; });
    picture.addEventListener("pointerdown", (event) => {
      if (view.zoom <= 1 || event.button !== 0) return;
      drag = { id: event.pointerId, left: event.clientX, top: event.clientY, point: at(picture, event), moved: false };
      picture.setPointerCapture(event.pointerId);
    });
    const release = () => { setTimeout(() => { drag = null; }); };
    picture.addEventListener("pointerup", release);
    picture.addEventListener("pointercancel", release);
    picture.closest("label").addEventListener("click", (event) => {
      if (drag?.moved) event.preventDefault(); // the end of a drag is no pick
    });
    picture.addEventListener("dblclick", (event) => toggleZoom(at(picture, event))); // its two clicks undo each other
    picture.addEventListener("wheel", (event) => {
      // Unzoomed, the wheel scrolls the page as everywhere.
      if (view.zoom <= 1 && !event.ctrlKey) return;
      event.preventDefault();
      zoomTo(view.zoom * Math.exp(-event.deltaY / 400), at(picture, event));
    }, { passive: false });
    picture.addEventListener("dragstart", (event) => event.preventDefault());
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    const box = document.getElementById(`pick-${key}`);
    if (/^[1-9]$/.test(key) && box) {
      box.checked = !box.checked;
      say.textContent = "";
    } else if (key === "z") {
      toggleZoom(pointer ?? undefined);
    } else if (key === "l") {
      names.click();
    } else if (key === "enter" && !event.target.closest("a, button")) {
      event.preventDefault();
      send();
    }
  });

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => {
      if (button.dataset.zoom === "toggle") toggleZoom();
      else zoomTo(view.zoom * (button.dataset.zoom === "in" ? 1.5 : 1 / 1.5));
    });
  }
  document.querySelector(".zoom").hidden = false;

  names.checked = sessionStorage.getItem("custom-ai-names") !== "off";
  names.addEventListener("change", () => sessionStorage.setItem("custom-ai-names", names.checked ? "on" : "off"));
  window.addEventListener("resize", draw);
  draw();
})();
