// Predictions of any task: the line of the server, probabilities as bars, all other fields in a table.
import { bars, byProbability } from "./bars.js";
import { named } from "./classes.js";
import { h, put } from "./dom.js";
import { oodNote, unlike } from "./known.js";
import { number, percent, several } from "./words.js";

const SHOWN_ELSEWHERE = ["task", "image", "picture", "line", "probabilities", "ood_percentile", "is_ood"];

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
        h("p", { class: "looks soft" }, "Prediction"),
        h("p", { class: "label many" }, answer.line),
        unlike(answer), likely, fields, oodNote(answer),
      ],
      settle(answer) {
        const rows = Object.entries(answer.probabilities ?? {}).map(([name, value]) => ({ name, value, note: "" }));
        put(likely, rows.length > 0 && bars(byProbability(rows), { label: "probabilities" }));
        const others = Object.entries(answer).filter(([name]) => !SHOWN_ELSEWHERE.includes(name));
        put(fields, others.map(([name, value]) => h("div", {}, h("dt", {}, spaced(name)), h("dd", {}, text(value)))));
      },
    };
  },

  explained: (card) => ({ targets: [["", "the prediction"], ...named(card)], away: "the prediction changes", back: "returns" }),
  strength: (found) => `${found.target}: ${found.probability === null ? number(found.value) : percent(found.probability)}`,
  sign: (target) => [`evidence for ${target}`, "evidence against it"],

  alike: (card, answer, list) => ({
    agrees: () => true, summary: `${list.length} most similar known images`,
    lead: ["The most similar known images, with their labels."],
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
