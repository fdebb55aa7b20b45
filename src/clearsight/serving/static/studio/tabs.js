// Tabs whose place stands in the address: #/heatmap, #/network/12/5. Arrow keys move, the browser's Back goes back.
import { at, h, put } from "./dom.js";

/** Where the address points: the tab, and what follows it. */
export function here() {
  const [tab, ...rest] = location.hash.slice(2).split("/");
  return { tab, rest };
}

/** parts: [id of the panel, word, view]; a view has show(rest, moved), called when its
 * tab is opened or its address changes; moved: by somebody on this page. */
export function tabs(parts) {
  const ids = parts.map(([id]) => id);
  const buttons = parts.map(([id, word]) => h("button", {
    type: "button", role: "tab", id: `tab-${id}`, "aria-controls": id,
    on: { click: () => { location.hash = `/${id}`; } },
  }, word));
  put(at("tabs"), ...buttons);
  for (const [id] of parts) {
    at(id).setAttribute("role", "tabpanel");
    at(id).setAttribute("aria-labelledby", `tab-${id}`);
  }
  at("tabs").addEventListener("keydown", (event) => {
    const now = buttons.indexOf(document.activeElement);
    const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (now < 0 || next === undefined) return;
    event.preventDefault();
    const button = buttons[(next + buttons.length) % buttons.length];
    button.focus();
    button.click();
  });
  const open = (moved) => {
    const { tab, rest } = here();
    const chosen = ids.includes(tab) ? tab : ids[0];
    for (const [i, [id, , view]] of parts.entries()) {
      const is = id === chosen;
      at(id).hidden = !is;
      buttons[i].setAttribute("aria-selected", String(is));
      buttons[i].tabIndex = is ? 0 : -1;
      if (is) view.show(rest, moved);
    }
  };
  addEventListener("hashchange", () => open(true));
  open(false);
}
