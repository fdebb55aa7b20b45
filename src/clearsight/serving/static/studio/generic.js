// Predictions of any task: in the server's own words, probabilities as bars, every other field in a table.
import { bars, byBelief } from "./bars.js";
import { named } from "./classes.js";
import { h, put } from "./dom.js";
import { strange, unlike } from "./known.js";
import { number, percent, several } from "./words.js";

const SHOWN_ELSEWHERE = ["task", "image", "picture", "line", "probabilities", "strangeness", "none_of_these"];

export const generic = {
  options: { words: true },

  facts(card) {
    const { n, ...scores } = card.scores.test ?? {};
    const [name, score] = Object.entries(scores).find(([, value]) => typeof value === "number") ?? [];
    return [card.task, name && `${spaced(name)} ${number(score)} on ${several(n ?? 0, "test image")}`];
  },

  headline: (answer) => answer.line,

  view() {
    const likely = h("div", {});
    const fields = h("dl", { class: "facts" });
    return {
      draw: (answer) => [
        h("p", { class: "looks soft" }, "The prediction"),
        h("p", { class: "label many" }, answer.line),
        unlike(answer), likely, fields, strange(answer),
      ],
      settle(answer) {
        const rows = Object.entries(answer.probabilities ?? {}).map(([name, value]) => ({ name, value, note: "" }));
        put(likely, rows.length > 0 && bars(byBelief(rows), { label: "probabilities" }));
        const others = Object.entries(answer).filter(([name]) => !SHOWN_ELSEWHERE.includes(name));
        put(fields, others.map(([name, value]) => h("div", {}, h("dt", {}, spaced(name)), h("dd", {}, text(value)))));
      },
    };
  },

  explained: (card) => ({ targets: [["", "the answer"], ...named(card)], away: "the answer gives way", back: "comes back" }),
  strength: (found) => `${found.target}: ${found.belief === null ? number(found.value) : percent(found.belief)}`,
  sign: (target) => [`speaks for ${target}`, "speaks against"],

  alike: (card, answer, list) => ({
    agrees: () => true, said: `The ${list.length} most similar known images are there`,
    lead: ["The known images most like it, with what they are known to show."],
  }),
};

const spaced = (name) => name.replaceAll("_", " ");

function text(value) {
  if (value === null) return "none";
  if (typeof value === "number") return number(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.map(text).join(", ");
  if (typeof value === "object") return Object.entries(value).map(([name, inner]) => `${name} ${text(inner)}`).join(", ");
  return value;
}
