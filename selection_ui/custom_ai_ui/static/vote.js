// The vote: keys, and one view for all pictures. Picking and sending work without this.
"use strict";

(() => {
  const MOST = 12;
  const STEP = 1.5;
  const booth = document.getElementById("booth");
  const view = { x: 0, y: 0, zoom: 1 }; // the visible part: left, top in image pixels, magnification
  let form, say, none, pictures, width, height; // of the round that is shown
  let pointer = null; // where on the image the mouse is, for Z

  const find = (selector) => booth.querySelector(selector);
  const picks = () => [...form.querySelectorAll("input[name=pick]")];

  // ---- the view ----

  function draw() {
    const w = width / view.zoom;
    const h = height / view.zoom;
    view.x = Math.min(Math.max(view.x, 0), width - w);
    view.y = Math.min(Math.max(view.y, 0), height - h);
    form.classList.toggle("zoomed", view.zoom > 1);
    const magnification = find("#magnification");
    magnification.dataset.word ||= magnification.textContent;
    magnification.textContent = view.zoom > 1 ? `× ${view.zoom.toFixed(1)}` : magnification.dataset.word;
    for (const picture of pictures) {
      picture.setAttribute("viewBox", `${view.x} ${view.y} ${w} ${h}`);
      // Image pixels per pixel on the screen, so that text keeps its size.
      const scale = Math.min(picture.clientWidth / w, picture.clientHeight / h);
      picture.style.setProperty("--unit", scale > 0 ? String(1 / scale) : "1");
      picture.classList.add("sized");
    }
  }

  // Where on the image a point of the screen is; pictures keep their proportions within their frame.
  function at(picture, x, y) {
    const point = new DOMPoint(x, y).matrixTransform(picture.getScreenCTM().inverse());
    return { x: point.x, y: point.y };
  }

  function zoomTo(zoom, point = { x: view.x + width / view.zoom / 2, y: view.y + height / view.zoom / 2 }) {
    const next = Math.min(Math.max(zoom, 1), MOST);
    view.x = point.x - ((point.x - view.x) * view.zoom) / next;
    view.y = point.y - ((point.y - view.y) * view.zoom) / next;
    view.zoom = next;
    draw();
  }

  function move(x, y) {
    view.x += x;
    view.y += y;
    draw();
  }

  const toggleZoom = (point) => zoomTo(view.zoom > 1 ? 1 : 2.5, point);

  // Whether nobody needs to scroll to see all pictures.
  const allInView = () => pictures.every((picture) => {
    const { top, bottom } = picture.getBoundingClientRect();
    return top >= 0 && bottom <= window.innerHeight;
  });

  // One finger or the mouse drags (when zoomed), two fingers pinch; whatever happens to one picture happens to all.
  function listen(picture) {
    const down = new Map(); // pointer id -> where it is on the screen
    let moved = false;
    const middle = () => {
      const points = [...down.values()];
      return { x: points.reduce((sum, p) => sum + p.x, 0) / points.length, y: points.reduce((sum, p) => sum + p.y, 0) / points.length };
    };
    const apart = () => {
      const [a, b] = [...down.values()];
      return Math.hypot(a.x - b.x, a.y - b.y);
    };

    picture.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      if (down.size === 0) moved = false;
      down.set(event.pointerId, { x: event.clientX, y: event.clientY, from: { x: event.clientX, y: event.clientY } });
    });
    picture.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse") pointer = at(picture, event.clientX, event.clientY);
      const mine = down.get(event.pointerId);
      if (!mine || (down.size === 1 && view.zoom <= 1)) return;
      if (!moved && down.size === 1 && Math.hypot(event.clientX - mine.from.x, event.clientY - mine.from.y) <= 5) return;
      if (!moved) for (const id of down.keys()) picture.setPointerCapture(id);
      moved = true;
      const before = middle();
      const distance = down.size === 2 ? apart() : 0;
      mine.x = event.clientX;
      mine.y = event.clientY;
      const after = middle();
      const [from, to] = [at(picture, before.x, before.y), at(picture, after.x, after.y)];
      view.x += from.x - to.x;
      view.y += from.y - to.y;
      if (distance > 0) zoomTo((view.zoom * apart()) / distance, from);
      else draw();
    });
    const release = (event) => { down.delete(event.pointerId); };
    for (const name of ["pointerup", "pointercancel"]) picture.addEventListener(name, release);
    picture.addEventListener("pointerleave", () => { pointer = null; });
    picture.closest("label").addEventListener("click", (event) => {
      if (moved) event.preventDefault(); // the end of a drag is no pick
      moved = false;
    });
    picture.addEventListener("dblclick", (event) => toggleZoom(at(picture, event.clientX, event.clientY))); // its two clicks undo each other
    picture.addEventListener("wheel", (event) => {
      // Where people have to scroll to see all pictures the wheel does that, until something is zoomed.
      if (view.zoom <= 1 && !event.ctrlKey && !allInView()) return;
      event.preventDefault();
      const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * 30 : event.deltaY;
      zoomTo(view.zoom * Math.exp(-pixels / 400), at(picture, event.clientX, event.clientY));
    }, { passive: false });
    picture.addEventListener("dragstart", (event) => event.preventDefault());
  }

  // ---- picking and sending ----

  function picked(box) {
    say.textContent = "";
    if (!box.checked) return;
    if (box === none) for (const one of picks()) one.checked = false;
    else none.checked = false;
  }

  function toggle(box) {
    box.checked = !box.checked;
    picked(box);
  }

  // The next round comes into this page, so that full screen stays; everything else is an ordinary page.
  async function go(address, options = {}) {
    booth.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(address, { headers: { Accept: "text/html" }, ...options });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = fresh.getElementById("booth");
      if (!answer.ok || !next) {
        if (answer.redirected || !options.method) return location.assign(answer.url);
        return form.submit(); // shows the error as a page
      }
      booth.replaceChildren(...next.childNodes);
      document.querySelector(".flashes")?.replaceChildren(...(fresh.querySelector(".flashes")?.childNodes ?? []));
      document.title = fresh.title;
      if (answer.url !== location.href) history.pushState(null, "", answer.url);
      setUp();
      find("h1").focus({ preventScroll: true });
      booth.scrollIntoView({ block: "nearest" });
    } catch {
      if (options.method) form.submit(); // no connection, or none any more: the browser says so
      else location.assign(address);
    } finally {
      booth.removeAttribute("aria-busy");
    }
  }

  function send() {
    const done = none.checked || picks().some((one) => one.checked);
    say.textContent = done ? "" : say.dataset.text;
    if (done && !booth.hasAttribute("aria-busy")) go(form.action, { method: "POST", body: new FormData(form) });
  }

  // ---- switches ----

  function remember(box, key) {
    try {
      box.checked = sessionStorage.getItem(key) !== "off";
      box.addEventListener("change", () => sessionStorage.setItem(key, box.checked ? "on" : "off"));
    } catch { /* storage is switched off: the choice lasts for this round */ }
  }

  function fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else booth.requestFullscreen();
  }

  document.addEventListener("fullscreenchange", () => {
    find("#fullscreen").setAttribute("aria-pressed", String(document.fullscreenElement === booth));
    draw();
  });

  // ---- a round ----

  function setUp() {
    form = find("#round");
    say = find("#say");
    none = find("#none");
    pictures = [...form.querySelectorAll("svg")];
    width = Number(pictures[0].dataset.width);
    height = Number(pictures[0].dataset.height);
    Object.assign(view, { x: 0, y: 0, zoom: 1 });
    pointer = null;
    pictures.forEach(listen);
    for (const box of [...picks(), none]) box.addEventListener("change", () => picked(box));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send();
    });
    for (const button of booth.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => {
        if (button.dataset.zoom === "toggle") toggleZoom();
        else zoomTo(view.zoom * (button.dataset.zoom === "in" ? STEP : 1 / STEP));
      });
    }
    for (const link of booth.querySelectorAll(".steps a, #back")) {
      link.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        go(link.href);
      });
    }
    remember(find("#show-labels"), "custom-ai-labels");
    remember(find("#show-scores"), "custom-ai-scores");
    const button = find("#fullscreen");
    button.hidden = !document.fullscreenEnabled;
    button.setAttribute("aria-pressed", String(document.fullscreenElement === booth));
    button.addEventListener("click", fullScreen);
    find(".zoom").hidden = false;
    booth.classList.add("keys");
    for (const one of booth.querySelectorAll(".with-script")) one.hidden = false;
    draw();
  }

  const KEYS = {
    z: () => toggleZoom(pointer ?? undefined),
    "+": () => zoomTo(view.zoom * STEP, pointer ?? undefined),
    "=": () => zoomTo(view.zoom * STEP, pointer ?? undefined),
    "-": () => zoomTo(view.zoom / STEP, pointer ?? undefined),
    l: () => find("#show-labels").click(),
    c: () => find("#show-scores").click(),
    n: () => toggle(none),
    0: () => toggle(none),
    f: () => { if (document.fullscreenEnabled) fullScreen(); },
    b: () => find("#back")?.click(),
  };
  const ARROWS = { arrowleft: [-1, 0], arrowright: [1, 0], arrowup: [0, -1], arrowdown: [0, 1] };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    // With a Korean keyboard layout the key L types ㅣ: then the place of the key counts.
    const typed = event.key.toLowerCase();
    const key = /^Key[A-Z]$/.test(event.code) && !/^[a-z]$/.test(typed) ? event.code.slice(3).toLowerCase() : typed;
    const box = /^[1-9]$/.test(key) ? find(`#pick-${key}`) : null;
    if (box) {
      toggle(box);
    } else if (key in ARROWS && view.zoom > 1) {
      event.preventDefault();
      const [x, y] = ARROWS[key];
      move((x * width) / view.zoom / 8, (y * height) / view.zoom / 8);
    } else if (key === "enter") {
      if (event.target.closest("a, button, summary")) return; // they do what they are for
      event.preventDefault();
      send();
    } else if (key in KEYS) {
      KEYS[key]();
    }
  });

  window.addEventListener("resize", draw);
  window.addEventListener("popstate", () => location.reload());
  setUp();
})();
