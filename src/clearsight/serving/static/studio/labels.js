// Answers of any number of labels: each a bar of its own, with the threshold from which it is given.
import { questions } from "./bars.js";
import { calibrated, named } from "./classes.js";
import { h, put } from "./dom.js";
import { strange, unlike } from "./known.js";
import { doubt, percent, several } from "./words.js";

export const labels = {
  facts(card) {
    const test = card.scores.test ?? {};
    return [
      `${card.classes.length.toLocaleString("en")} labels`,
      typeof test.mean_average_precision === "number"
        && `mean average precision ${test.mean_average_precision.toFixed(2)} on ${several(test.n ?? 0, "test image")}`,
    ];
  },

  headline: (answer) => `${given(answer) || "none of its labels"}, ${doubt(answer.doubt)}`,

  view(card) {
    const beliefs = h("div", {});
    return {
      draw: (answer) => [
        h("p", { class: "looks soft" }, answer.labels.length ? "It shows" : "It shows none of its labels"),
        answer.labels.length > 0 && h("p", { class: answer.labels.length > 3 ? "label many" : "label" }, given(answer)),
        h("p", { class: "sure" }, doubt(answer.doubt), h("span", { class: "soft" }, ` (${answer.doubt.toFixed(2)})`)),
        unlike(answer), beliefs,
        h("p", { class: "strange soft" }, "Each label is a question of its own. It is given where belief reaches the mark, its threshold."),
        calibrated(card), strange(answer),
      ],
      settle(answer) {
        const holds = new Set(answer.labels);
        const rows = Object.entries(answer.probabilities).map(([name, value]) => (
          { name, value, holds: holds.has(name), threshold: card.answer.thresholds[name] }));
        rows.sort((a, b) => b.holds - a.holds || b.value - a.value);
        put(beliefs, questions(rows, { few: Math.max(8, holds.size) }));
      },
    };
  },

  explained: (card) => ({ targets: [["", "the likeliest label"], ...named(card)], away: "belief falls", back: "rises" }),
  strength: (found) => `Belief in ${found.target}: ${percent(found.belief)}`,
  sign: (target) => [`speaks for ${target}`, "speaks against"],

  /** Known images agree that show exactly the labels given; the server joins an image's labels in their order. */
  alike(card, answer, list) {
    const own = card.classes.filter((name) => answer.labels.includes(name)).join(", ") || "no label";
    const agrees = (one) => one.label === own;
    const count = list.filter(agrees).length;
    return {
      agrees, said: `${count} of the ${list.length} most similar show exactly these labels`,
      lead: [h("strong", {}, `${count} of ${list.length}`), " most similar known images show exactly ",
        answer.labels.length ? `“${own}”, the answer.` : "none of the labels, as the answer says."],
    };
  },
};

const given = (answer) => answer.labels.join(", ");
