// Brings what is marked data-live up to date from the same page, every two seconds while somebody looks at it. Nodes are
// kept and only what differs is changed, so that the focus and what is selected stay where they are.
"use strict";
(() => {
  const EVERY = 2000;
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
      const olds = [...old.childNodes];
      const news = [...fresh.childNodes];
      news.forEach((node, i) => (i < olds.length ? morph(olds[i], node) : old.append(node)));
      olds.slice(news.length).forEach((node) => node.remove());
    }
  };

  const say = (text, state) => {
    toggle.textContent = text;
    toggle.dataset.state = state;
    toggle.setAttribute("aria-pressed", String(on));
  };

  const refresh = async () => {
    if (on && !document.hidden) {
      try {
        const answer = await fetch(location.href, { redirect: "error" });
        if (!answer.ok) throw new Error(answer.statusText);
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.querySelector("[data-live]");
        if (on && fresh) morph(live, fresh);
        if (on) say("Live", "live");
      } catch {
        if (on) say("No answer", "lost");
      }
    }
    setTimeout(refresh, EVERY);
  };

  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    on = !on;
    say(on ? "Live" : "Stopped", on ? "live" : "stopped");
  });
  say("Live", "live");
  setTimeout(refresh, EVERY);
})();
