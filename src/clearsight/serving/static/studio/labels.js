// Predictions of several labels: a bar for each, with its threshold.
import { questions } from "./bars.js";
import { calibrated, named } from "./classes.js";
import { h, put } from "./dom.js";
import { oodNote, unlike } from "./known.js";
import { uncertainty, percent, several } from "./words.js";

export const labels = {
  facts(card) {
    const test = card.scores.test ?? {};
    return [
      `${card.classes.length.toLocaleString("en")} labels`,
      typeof test.mean_average_precision === "number"
        && `mean average precision ${test.mean_average_precision.toFixed(2)} on ${several(test.n ?? 0, "test image")}`,
    ];
  },

  headline: (answer) => `${given(answer) || "no label"}, ${uncertainty(answer.uncertainty)}`,

  view(card) {
    const probabilities = h("div", {});
    return {
      draw: (answer) => [
        h("p", { class: "looks soft" }, answer.labels.length ? "Predicted labels" : "No label predicted"),
        answer.labels.length > 0 && h("p", { class: answer.labels.length > 3 ? "label many" : "label" }, given(answer)),
        h("p", { class: "sure" }, uncertainty(answer.uncertainty), h("span", { class: "soft" }, ` (${answer.uncertainty.toFixed(2)})`)),
        unlike(answer), probabilities,
        h("p", { class: "note soft" }, "Each label is an independent binary prediction. A label is predicted if its probability reaches the threshold marked on its bar."),
        calibrated(card), oodNote(answer),
      ],
      settle(answer) {
        const holds = new Set(answer.labels);
        const rows = Object.entries(answer.probabilities).map(([name, value]) => (
          { name, value, holds: holds.has(name), threshold: card.task_card.thresholds[name] }));
        rows.sort((a, b) => b.holds - a.holds || b.value - a.value);
        put(probabilities, questions(rows, { few: Math.max(8, holds.size) }));
      },
    };
  },

  explained: (card) => ({ targets: [["", "the most probable label"], ...named(card)], away: "the probability falls", back: "rises" }),
  strength: (found) => `Probability of ${found.target}: ${percent(found.probability)}`,
  sign: (target) => [`evidence for ${target}`, "evidence against it"],

  /** Which of the known images have exactly the predicted labels; the server joins labels in their order. */
  alike(card, answer, list) {
    const own = card.classes.filter((name) => answer.labels.includes(name)).join(", ") || "no label";
    const agrees = (one) => one.label === own;
    const count = list.filter(agrees).length;
    return {
      agrees, summary: `${count} of the ${list.length} most similar have exactly these labels`,
      lead: [h("strong", {}, `${count} of ${list.length}`), " most similar known images have exactly ",
        answer.labels.length ? `“${own}”, as predicted.` : "none of the labels, as predicted."],
    };
  },
};

const given = (answer) => answer.labels.join(", ");
