// Updates the element marked data-live from the same page, every two seconds while the page is visible. Nodes are kept and
// only differences are applied, so that focus and selection stay.
"use strict";
(() => {
  const INTERVAL = 2000;
  const live = document.querySelector("[data-live]");
  const toggle = document.querySelector("[data-toggle]");
  if (!live || !toggle) return;
  let on = true;

  const morph = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
      old.replaceWith(fresh);
    } else if (old.nodeType === Node.TEXT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
    } else if (old.nodeType === Node.ELEMENT_NODE) {
      for (const { name } of [...old.attributes]) {
        if (!fresh.hasAttribute(name)) old.removeAttribute(name);
      }
      for (const { name, value } of [...fresh.attributes]) {
        if (old.getAttribute(name) !== value) old.setAttribute(name, value);
      }
      const oldNodes = [...old.childNodes];
      const freshNodes = [...fresh.childNodes];
      freshNodes.forEach((node, i) => (i < oldNodes.length ? morph(oldNodes[i], node) : old.append(node)));
      oldNodes.slice(freshNodes.length).forEach((node) => node.remove());
    }
  };

  const show = (text, state) => {
    toggle.textContent = text;
    toggle.dataset.state = state;
    toggle.setAttribute("aria-pressed", String(on));
  };

  const refresh = async () => {
    if (on && !document.hidden) {
      try {
        const response = await fetch(location.href, { redirect: "error" });
        if (!response.ok) throw new Error(response.statusText);
        const page = new DOMParser().parseFromString(await response.text(), "text/html");
        const fresh = page.querySelector("[data-live]");
        if (on && fresh) morph(live, fresh);
        if (on) show("Live", "live");
      } catch {
        if (on) show("No response", "lost");
      }
    }
    setTimeout(refresh, INTERVAL);
  };

  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    on = !on;
    show(on ? "Live" : "Stopped", on ? "live" : "stopped");
  });
  show("Live", "live");
  setTimeout(refresh, INTERVAL);
})();
