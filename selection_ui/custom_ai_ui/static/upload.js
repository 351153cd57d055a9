// Sends an archive in pieces. An upload that was interrupted goes on where it stopped, also after a reload.
"use strict";

(() => {
  const LONGEST_PAUSE_MS = 15000;
  const form = document.getElementById("new-project");
  const texts = form.dataset;
  const field = form.elements.upload;
  const token = form.elements.csrf_token.value;
  const input = document.getElementById("archive");
  const drop = document.getElementById("drop");
  const sending = document.getElementById("sending");
  const bar = document.getElementById("sent");
  const words = document.getElementById("words");
  const problem = document.getElementById("upload-problem");
  const create = document.getElementById("create");
  const format = new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: 1 });
  let turn = 0; // raised when another archive is chosen: what an older one still does is void
  let request = null; // the piece on its way
  let current = null; // {file, id} of what is being sent or was sent
  let running = false;

  class Stopped extends Error {}

  const megabytes = (bytes) => `${format.format(bytes / 1e6)} MB`;
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);

  function ready(complete) {
    create.disabled = !complete;
    document.getElementById("not-yet").hidden = complete;
  }

  // Either the place for an archive or what has become of the one that was put there.
  function showDrop(yes) {
    drop.hidden = !yes;
    sending.hidden = yes;
  }

  function fail(text) {
    problem.textContent = text;
    problem.hidden = !text;
  }

  // Where an unfinished upload of the same file is remembered. Storage may be switched off.
  const memory = {
    key: (file) => `custom-ai-upload ${file.name} ${file.size} ${file.lastModified}`,
    get(file) { try { return localStorage.getItem(this.key(file)); } catch { return null; } },
    put(file, id) { try { localStorage.setItem(this.key(file), id); } catch { /* then it is not remembered */ } },
    drop(file) { try { localStorage.removeItem(this.key(file)); } catch { /* nothing to forget */ } },
  };

  async function call(method, path, body) {
    const answer = await fetch(texts.uploads + path, {
      method,
      headers: { "X-CSRFToken": token, "Content-Type": "application/json", Accept: "application/json" },
      body: body && JSON.stringify(body),
    });
    return understood(answer.status, answer.status === 204 ? "null" : await answer.text());
  }

  function understood(status, text) {
    let said = null;
    try { said = JSON.parse(text); } catch { /* a proxy's page */ }
    if (status >= 200 && status < 300) return said;
    throw Object.assign(new Error(said?.error?.message ?? `HTTP ${status}`), { status, code: said?.error?.code });
  }

  // XMLHttpRequest, because fetch does not tell how much of a piece has gone out.
  async function put(path, piece, onSent) {
    const digest = crypto.subtle && await crypto.subtle.digest("SHA-256", await piece.arrayBuffer());
    return new Promise((done, failed) => {
      request = new XMLHttpRequest();
      request.open("PUT", texts.uploads + path);
      request.setRequestHeader("X-CSRFToken", token);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.setRequestHeader("Accept", "application/json");
      if (digest) {
        request.setRequestHeader("Content-Digest", `sha-256=:${btoa(String.fromCharCode(...new Uint8Array(digest)))}:`);
      }
      request.upload.onprogress = (event) => onSent(event.loaded);
      request.onload = (event) => {
        try { done(understood(event.target.status, event.target.responseText)); } catch (error) { failed(error); }
      };
      request.onerror = () => failed(new TypeError("network"));
      request.onabort = () => failed(new Stopped());
      request.send(piece);
    });
  }

  async function known(file) {
    const id = memory.get(file);
    if (!id) return null;
    try {
      const found = await call("GET", `/${id}`);
      return found.name === file.name && found.size === file.size ? found : null;
    } catch (error) {
      if (error.status === undefined) throw error;
      return null; // removed meanwhile
    }
  }

  async function send(file) {
    const mine = ++turn;
    const check = () => { if (mine !== turn) throw new Stopped(); };
    const lasting = (error) => error.status !== undefined && error.status < 500 && error.code !== "upload_incomplete";
    const started = performance.now();
    let upload = null, begunAt = null, wait = 1000, finished = false;

    function show(offset) {
      if (mine !== turn) return;
      bar.max = file.size;
      bar.value = offset;
      begunAt ??= offset;
      const seconds = (performance.now() - started) / 1000;
      const left = ((file.size - offset) / Math.max(1, offset - begunAt)) * seconds;
      const guess = seconds < 3 || offset <= begunAt ? ""
        : ` · ${left < 60 ? texts.soon : fill(texts.left, { minutes: Math.round(left / 60) })}`;
      words.textContent = fill(texts.sending, { sent: megabytes(offset), size: megabytes(file.size) }) + guess;
    }

    while (!finished) {
      try {
        upload ??= await known(file) ?? await call("POST", "", { name: file.name, size: file.size });
        check();
        memory.put(file, upload.id);
        current = { file, id: upload.id };
        show(upload.offset);
        while (!upload.complete && upload.offset < file.size) {
          const from = upload.offset;
          const piece = file.slice(from, from + upload.chunk_bytes);
          upload = await put(`/${upload.id}/content?offset=${from}`, piece, (sent) => show(from + sent));
          check();
          wait = 1000;
        }
        words.textContent = texts.checking;
        upload = await call("POST", `/${upload.id}/complete`, {});
        check();
        finished = true;
      } catch (error) {
        check();
        if (error instanceof Stopped) throw error;
        if (error.name === "NotReadableError") throw error; // the file was moved or changed
        if (lasting(error)) {
          if (error.status === 400 && upload) { // no ZIP, or no longer the same file: it is of no use
            abandon();
          }
          throw error;
        }
        words.textContent = texts.lost;
        await pause(wait);
        check();
        wait = Math.min(LONGEST_PAUSE_MS, wait * 2);
        try { if (upload) upload = await call("GET", `/${upload.id}`); } catch { /* still away */ }
      }
    }
    memory.drop(file);
    return upload;
  }

  async function take(file) {
    fail("");
    if (!/\.zip$/i.test(file.name)) return fail(fill(texts.noZip, { name: file.name }));
    if (file.size > Number(texts.mostBytes)) return fail(fill(texts.tooLarge, { size: megabytes(file.size) }));
    if (running && current && memory.key(current.file) === memory.key(file)) return;
    abandon();
    const title = form.elements.title;
    if (!title.value) title.value = file.name.replace(/\.zip$/i, "").slice(0, 50);
    document.getElementById("file-name").textContent = file.name;
    bar.classList.remove("full");
    showDrop(false);
    running = true;
    try {
      const upload = await send(file);
      field.value = upload.id;
      bar.value = bar.max;
      bar.classList.add("full");
      words.textContent = fill(texts.done, { files: format.format(upload.files) });
      ready(true);
    } catch (error) {
      if (error instanceof Stopped) return;
      running = false;
      current = null; // it stays on the server, to be gone on with
      words.textContent = "";
      showDrop(true);
      fail(error.status === undefined ? fill(texts.failed, { why: error.message }) : error.message);
    }
    running = false;
  }

  // Forget the archive that is being sent or was sent, here and on the server.
  function abandon() {
    turn += 1;
    running = false;
    request?.abort();
    if (current) memory.drop(current.file);
    const id = current?.id ?? field.value;
    if (id) call("DELETE", `/${id}`).catch(() => {});
    current = null;
    field.value = "";
    showDrop(true);
    ready(false);
  }

  document.documentElement.classList.add("with-js");
  input.removeAttribute("name"); // the form sends the number of the upload instead
  ready(Boolean(field.value));
  showDrop(!field.value);
  input.addEventListener("change", () => {
    const [file] = input.files;
    input.value = ""; // so that the same file can be chosen again
    if (file) take(file);
  });
  document.getElementById("remove").addEventListener("click", () => {
    abandon();
    input.focus();
  });
  for (const kind of ["dragover", "drop"]) {
    window.addEventListener(kind, (event) => event.preventDefault()); // a near miss shall not leave the page
  }
  for (const [kind, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) {
    drop.addEventListener(kind, () => drop.classList.toggle("over", over));
  }
  drop.addEventListener("drop", (event) => {
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
  window.addEventListener("beforeunload", (event) => {
    if (running) event.preventDefault();
  });
})();
