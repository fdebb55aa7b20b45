// Answers of one class: its belief, bars for all, and the set of classes that holds the true one.
import { bars, byBelief } from "./bars.js";
import { segments } from "./controls.js";
import { h, put } from "./dom.js";
import { COVERAGES, promise, strange } from "./known.js";
import { doubt, percent, several } from "./words.js";

export const classes = {
  facts(card) {
    const test = card.scores.test ?? {};
    return [
      `${card.classes.length.toLocaleString("en")} classes`,
      typeof test.accuracy === "number" && `right on ${percent(test.accuracy)} of ${several(test.n ?? 0, "test image")}`
        + (card.answer?.rule ? `, decided by ${card.answer.rule}` : ""),
    ];
  },

  headline: (answer) => `${name(answer)}, ${percent(answer.probability)}, ${doubt(answer.doubt)}`,

  /** The answer, and what depends on the coverage. cover: asks again with another. */
  view(card, cover) {
    const beliefs = h("div", {});
    const members = h("p", { class: "members", role: "group", "aria-label": "classes in the set" });
    const words = promise();
    return {
      draw: (answer, coverage) => [
        h("p", { class: "looks soft" }, answer.none_of_these ? "If anything, it looks like" : "It looks like"),
        h("p", { class: "label" }, answer.label),
        h("p", { class: "sure" }, h("strong", {}, percent(answer.probability)), " belief, ", doubt(answer.doubt),
          h("span", { class: "soft" }, ` (${answer.doubt.toFixed(2)})`)),
        answer.none_of_these && h("div", { class: "warning" },
          h("strong", {}, "None of these. "), "The image is stranger to the model than nearly all that it knows, so its answer may be a guess."),
        beliefs, calibrated(card), strange(answer),
        answer.set === null
          ? h("p", { class: "strange soft" }, "This model knows no sets: it was not calibrated on images of its own.")
          : h("div", { class: "set" },
            segments("Set of classes that holds the true one", COVERAGES, coverage, cover), members, words.element),
      ],
      settle(answer, coverage) {
        const inside = new Set(answer.set ?? []);
        const rows = Object.entries(answer.probabilities).map(([label, value]) => ({ name: label, value, inside: inside.has(label) }));
        put(beliefs, bars(byBelief(rows)));
        put(members, answer.set?.length
          ? answer.set.map((label) => h("span", { class: "chip" }, label))
          : h("span", { class: "soft" }, "empty: no class is likely enough"));
        words.tell(`Sets made like this hold the true class for ${Math.round(100 * coverage)} of 100 images.`);
      },
      settled: (answer) => `The set holds ${answer.set.length ? answer.set.join(", ") : "no class"}`,
    };
  },

  explained: (card) => ({ targets: [["", "the answer"], ...named(card)], away: "belief falls", back: "rises" }),
  strength: (found) => `Belief in ${found.target}: ${percent(found.belief)}`,
  sign: (target) => [`speaks for ${target}`, "speaks against"],

  /** Which of the known images agree with the answer, and how many in words. */
  alike(card, answer, list) {
    const agrees = (one) => one.label === answer.label;
    const count = list.filter(agrees).length;
    return {
      agrees, said: `${count} of the ${list.length} most similar are ${answer.label}`,
      lead: [h("strong", {}, `${count} of ${list.length}`), ` most similar known images are “${answer.label}”, the answer.`],
    };
  },
};

const name = (answer) => (answer.none_of_these ? `none of these; if anything ${answer.label}` : answer.label);

/** Each class or label as a choice. */
export const named = (card) => card.classes.map((one) => [one, one]);

/** How well probabilities match accuracy, as measured on the test images. */
export function calibrated(card) {
  const { debiased_ece: gap, debiased_ece_interval: ends } = card.scores.test ?? {};
  return typeof gap === "number" && h("p", { class: "strange soft" },
    `Calibration error on its test images: ${(100 * gap).toFixed(1)} points (95% interval ${ends.map((end) => (100 * end).toFixed(1)).join(" to ")}).`);
}
