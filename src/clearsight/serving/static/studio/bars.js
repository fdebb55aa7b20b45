// Beliefs as bars. rows: { name, value, before?, inside? }; `before` is drawn as a mark on the bar.
import { h, put } from "./dom.js";
import { percent } from "./words.js";

const FEW = 5;

export function bars(rows, { few = FEW, label = "belief per class" } = {}) {
  const list = h("ul", { class: "bars", "aria-label": label });
  const draw = (count) => put(list, ...rows.slice(0, count).map(bar));
  const rest = rows.length - few;
  draw(rest > 1 ? few : rows.length);
  if (rest <= 1) return list;
  const sum = rows.slice(few).reduce((total, row) => total + row.value, 0);
  const closed = `Show all ${rows.length} (the rest: ${percent(sum)})`;
  const more = h("button", {
    type: "button", class: "more", "aria-expanded": "false",
    on: {
      click: () => {
        const open = more.getAttribute("aria-expanded") !== "true";
        more.setAttribute("aria-expanded", String(open));
        more.textContent = open ? "Show fewer" : closed;
        draw(open ? rows.length : few);
      },
    },
  }, closed);
  return h("div", {}, list, more);
}

/** Strongest first. A plain object does not keep the order of names that are numbers. */
export const byBelief = (rows) => rows.sort((a, b) => b.value - a.value);

function bar(row) {
  return h("li", { class: row.inside ? "inside" : "" },
    h("span", { class: "bar-name" }, row.name, row.inside && h("span", { class: "hidden" }, " (in the set)")),
    h("span", { class: "bar-value" },
      row.before !== undefined && [h("span", { class: "bar-before" }, percent(row.before)), h("span", { "aria-label": "became" }, " → ")],
      percent(row.value)),
    h("span", { class: "bar-track", "aria-hidden": "true" },
      h("span", { class: "bar-fill", vars: { "--v": row.value } }),
      row.before !== undefined && h("span", { class: "bar-mark", vars: { "--v": row.before } })));
}
