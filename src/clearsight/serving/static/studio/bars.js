// Probabilities as bars. rows: { name, value, before?, mark?, inside?, note? }; `before` and `mark` are drawn as marks on the bar;
// note: what a screen reader reads after the name.
import { h, put } from "./dom.js";
import { percent, several } from "./words.js";

const FEW = 5;

export function bars(rows, { few = FEW, label = "probability per class", inShort = together } = {}) {
  const list = h("ul", { class: "bars", "aria-label": label });
  const draw = (count) => put(list, ...rows.slice(0, count).map(bar));
  const rest = rows.length - few;
  draw(rest > 1 ? few : rows.length);
  if (rest <= 1) return list;
  const closed = `Show all ${rows.length} (others: ${inShort(rows.slice(few))})`;
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

/** Independent labels as bars, each with its threshold as a mark. rows: { name, value, threshold, holds }. */
export function questions(rows, { few = 8 } = {}) {
  const asked = rows.map((row) => ({ ...row, inside: row.holds, mark: row.threshold, note: row.holds ? " (predicted)" : " (not predicted)" }));
  return bars(asked, { few, label: "probability per label", inShort: (left) => several(left.length, "label") });
}

/** Strongest first. A plain object does not keep the order of names that are numbers. */
export const byProbability = (rows) => rows.sort((a, b) => b.value - a.value);

function bar(row) {
  return h("li", { class: row.inside ? "inside" : "" },
    h("span", { class: "bar-name" }, row.name, h("span", { class: "hidden" }, row.note ?? (row.inside ? " (in the set)" : ""))),
    h("span", { class: "bar-value" },
      row.before !== undefined && [h("span", { class: "bar-before" }, percent(row.before)), h("span", { "aria-label": "became" }, " → ")],
      percent(row.value)),
    h("span", { class: "bar-track", "aria-hidden": "true" },
      h("span", { class: "bar-fill", vars: { "--v": row.value } }),
      row.before !== undefined && h("span", { class: "bar-mark", vars: { "--v": row.before } }),
      row.mark !== undefined && h("span", { class: "bar-mark", vars: { "--v": row.mark } })));
}

const together = (rows) => percent(rows.reduce((total, row) => total + row.value, 0));
