// Predictions of one class: its probability, bars for all classes, and the prediction set.
import { bars, byProbability } from "./bars.js";
import { segments } from "./controls.js";
import { h, put } from "./dom.js";
import { COVERAGES, oodNote, promise, unlike } from "./known.js";
import { uncertainty, percent, several } from "./words.js";

export const classes = {
  facts(card) {
    const test = card.scores.test ?? {};
    return [
      `${card.classes.length.toLocaleString("en")} classes`,
      typeof test.accuracy === "number" && `accuracy ${percent(test.accuracy)} on ${several(test.n ?? 0, "test image")}`
        + (card.task_card?.rule ? `, decided by ${card.task_card.rule}` : ""),
    ];
  },

  headline: (answer) => `${name(answer)}, ${percent(answer.probability)}, ${uncertainty(answer.uncertainty)}`,

  /** The answer, and what depends on the coverage. cover: asks again with another. */
  view(card, cover) {
    const probabilities = h("div", {});
    const members = h("p", { class: "members", role: "group", "aria-label": "classes in the set" });
    const words = promise();
    return {
      draw: (answer, coverage) => [
        h("p", { class: "looks soft" }, answer.is_ood ? "Unknown; the nearest class is" : "Prediction"),
        h("p", { class: "label" }, answer.label),
        h("p", { class: "sure" }, h("strong", {}, percent(answer.probability)), " probability, ", uncertainty(answer.uncertainty),
          h("span", { class: "soft" }, ` (${answer.uncertainty.toFixed(2)})`)),
        unlike(answer), parent(answer),
        probabilities, calibrated(card), oodNote(answer),
        answer.set === null
          ? h("p", { class: "note soft" }, "No prediction sets: the model was not calibrated.")
          : h("div", { class: "set" },
            segments("Coverage of the prediction set", COVERAGES, coverage, cover), members, words.element),
      ],
      settle(answer, coverage) {
        const inside = new Set(answer.set ?? []);
        const rows = Object.entries(answer.probabilities).map(([label, value]) => ({ name: label, value, inside: inside.has(label) }));
        put(probabilities, bars(byProbability(rows)));
        put(members, answer.set?.length
          ? answer.set.map((label) => h("span", { class: "chip" }, label))
          : h("span", { class: "soft" }, "empty: no class is probable enough"));
        words.show(`Coverage ${percent(coverage, 0)}: the true class is in the set for about ${Math.round(100 * coverage)} of 100 images.`);
      },
      settled: (answer) => `Prediction set: ${answer.set.length ? answer.set.join(", ") : "empty"}`,
    };
  },

  explained: (card) => ({ targets: [["", "the prediction"], ...named(card)], away: "the probability falls", back: "rises" }),
  strength: (found) => `Probability of ${found.target}: ${percent(found.probability)}`,
  sign: (target) => [`evidence for ${target}`, "evidence against it"],

  /** Which of the known images have the predicted class, and how many. */
  alike(card, answer, list) {
    const agrees = (one) => one.label === answer.label;
    const count = list.filter(agrees).length;
    return {
      agrees, summary: `${count} of the ${list.length} most similar are ${answer.label}`,
      lead: [h("strong", {}, `${count} of ${list.length}`), ` most similar known images are “${answer.label}”, as predicted.`],
    };
  },
};

/** In a tree of classes the deepest parent that is probable enough, where the class itself is not. */
const parent = (answer) => answer.back_off && answer.back_off !== answer.label && !answer.is_ood
  && h("p", { class: "parent" }, "Parent class: ", h("strong", {}, answer.back_off), `, ${percent(answer.back_off_probability)}`);

const name = (answer) => (answer.is_ood ? `unknown; nearest ${answer.label}` : answer.label);

/** Each class or label as a choice. */
export const named = (card) => card.classes.map((one) => [one, one]);

/** The calibration error on the test images. */
export function calibrated(card) {
  const { debiased_ece: gap, debiased_ece_interval: ends } = card.scores.test ?? {};
  return typeof gap === "number" && h("p", { class: "note soft" },
    `Calibration error on the test images: ${(100 * gap).toFixed(1)} points (95 % interval ${ends.map((end) => (100 * end).toFixed(1)).join(" to ")}).`);
}
