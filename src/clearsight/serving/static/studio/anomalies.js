// Whether an image is an anomaly: the verdict, its probability, and how rare such an image is among normal ones.
import { bars } from "./bars.js";
import { h, put } from "./dom.js";
import { number, percent, several } from "./words.js";

export const anomalies = {
  facts(card) {
    const { auroc, false_alarms: alarms, n } = card.scores.test ?? {};
    const { normal } = card.answer;
    return [
      normal.length > 4 ? `${normal.length} normal classes` : `normal: ${normal.join(", ")}`,
      typeof auroc === "number" ? `AUROC ${auroc.toFixed(2)} on ${several(n, "test image")}`
        : typeof alarms === "number" && `${percent(alarms)} false alarms on ${several(n, "test image")}`,
    ];
  },

  headline: (answer) => `${answer.anomaly ? "an anomaly" : "normal"}, ${rare(answer)}`,

  view(card) {
    const { false_alarms: alarms, held_out: count, prior } = card.answer;
    const likely = h("div", {});
    return {
      draw: (answer) => [
        h("p", { class: "looks soft" }, answer.anomaly ? "It looks like" : "It looks"),
        h("p", { class: `label ${answer.anomaly ? "alarm" : ""}` }, answer.anomaly ? "an anomaly" : "normal"),
        h("p", { class: "sure" }, rare(answer), "."),
        likely,
        h("p", { class: "strange soft" }, `It is called an anomaly where at most ${number(100 * alarms)}% of normal images look as strange: so many false alarms are allowed.`),
        answer.p_value * (count + 1) < 1.5 && h("p", { class: "strange soft" },
          `Of the ${several(count, "normal image")} that it was compared with, none does: 1 in ${(count + 1).toLocaleString("en")} is the least that can be told.`),
        h("p", { class: "strange soft" }, `The probability takes ${number(100 * prior)}% of all images to be anomalies. Where they are rarer, it is too high.`),
      ],
      settle(answer) {
        const row = { name: "Probability of an anomaly", value: answer.probability, inside: answer.anomaly, note: "" };
        put(likely, bars([row], { label: "probability of an anomaly" }));
      },
    };
  },

  explained: () => ({
    targets: [["", "the answer"]],
    unjudged: "Whether it is true to the model is not measured: that takes places away by blurring them, and a blurred place is an anomaly too.",
  }),
  strength: (found) => `Probability of an anomaly: ${percent(found.belief)}`,
  sign: () => ["looks strange", "looks normal"],
  ramp: (found) => found.method === "anomaly-map"
    && (found.strongest > 0 ? `as usual, to ${number(found.strongest)} deviations further from normal` : "no place is further from normal than usual"),

  alike: (card, answer, list) => ({
    agrees: () => true, said: `The ${list.length} most similar known images are there`,
    lead: ["The known images most like it. What sets it apart from the normal ones among them may be what is strange."],
  }),
};

const rare = (answer) => `${percent(answer.p_value)} of normal images look as strange`;
