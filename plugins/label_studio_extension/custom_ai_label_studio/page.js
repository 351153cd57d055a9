// Custom AI in Label Studio's pages: says in the Data Manager what came of our actions, which Label Studio 1.23 does not
// show by itself, and puts a link beside "Settings". Everything that is not as expected is left alone.
(() => {
  "use strict";
  const SECONDS = 9;
  const PREFIX = "custom_ai_";
  const base = (window.APP_SETTINGS && window.APP_SETTINGS.hostname) || "";
  let known = null;

  const tell = (manager) => (id, { result } = {}) => {
    if (!String(id).startsWith(PREFIX) || !result || !result.detail || result.error) return;
    manager.invoke("toast", { message: String(result.detail), type: "info", duration: SECONDS * 1000 });
    const path = result.custom_ai_open;
    if (typeof path !== "string" || !path.startsWith("/custom-ai/")) return;
    if (!window.open(base + path, "_blank")) window.location.assign(base + path); // no new tabs here
  };

  const link = () => {
    const [, project] = /\/projects\/(\d+)\/data/.exec(window.location.pathname) || [];
    const settings = project && document.querySelector(`a[href$="/projects/${project}/settings"]`);
    const there = document.getElementById("custom-ai-link");
    if (!settings) return there && there.remove();
    const href = `${base}/custom-ai/projects/${project}/`;
    if (there && there.getAttribute("href") === href && there.nextSibling === settings) return;
    if (there) there.remove();
    const made = document.createElement("a");
    Object.assign(made, { id: "custom-ai-link", href, target: "_blank", rel: "noopener", className: settings.className });
    made.title = "Open Custom AI";
    made.textContent = "Custom AI";
    settings.before(made);
  };

  const look = () => {
    const manager = window.dataManager;
    if (manager && manager !== known && typeof manager.on === "function" && typeof manager.invoke === "function") {
      known = manager;
      manager.on("actionDialogOkComplete", tell(manager));
    }
    link();
  };

  setInterval(look, 500);
})();
