// Anomaly predictions: normal or anomaly, its probability, and the p-value among normal images.
import { bars } from "./bars.js";
import { h, put } from "./dom.js";
import { number, percent, several } from "./words.js";

export const anomalies = {
  facts(card) {
    const { auroc, false_alarms: alarms, n } = card.scores.test ?? {};
    const { normal } = card.task_card;
    return [
      normal.length > 4 ? `${normal.length} normal classes` : `normal: ${normal.join(", ")}`,
      typeof auroc === "number" ? `AUROC ${auroc.toFixed(2)} on ${several(n, "test image")}`
        : typeof alarms === "number" && `${percent(alarms)} false alarms on ${several(n, "test image")}`,
    ];
  },

  headline: (answer) => `${answer.anomaly ? "an anomaly" : "normal"}, ${rare(answer)}`,

  view(card) {
    const { false_alarms: alarms, held_out: count, prior } = card.task_card;
    const likely = h("div", {});
    return {
      draw: (answer) => [
        h("p", { class: "looks soft" }, "Prediction"),
        h("p", { class: `label ${answer.anomaly ? "alarm" : ""}` }, answer.anomaly ? "an anomaly" : "normal"),
        h("p", { class: "sure" }, rare(answer), "."),
        likely,
        h("p", { class: "note soft" }, `An image is classified as an anomaly if at most ${number(100 * alarms)} % of normal images have a score at least as high. This percentage is the allowed false alarm rate.`),
        answer.p_value * (count + 1) < 1.5 && h("p", { class: "note soft" },
          `None of the ${several(count, "normal image")} used for comparison scores at least as high: 1 in ${(count + 1).toLocaleString("en")} is the smallest possible p-value.`),
        h("p", { class: "note soft" }, `The probability assumes that ${number(100 * prior)} % of all images are anomalies. If anomalies are rarer, the probability is too high.`),
      ],
      settle(answer) {
        const row = { name: "Probability of an anomaly", value: answer.probability, inside: answer.anomaly, note: "" };
        put(likely, bars([row], { label: "probability of an anomaly" }));
      },
    };
  },

  explained: () => ({
    targets: [["", "the prediction"]],
    unmeasured: "Faithfulness is not measured: the measurement blurs regions, and a blurred region is itself an anomaly.",
  }),
  strength: (found) => `Probability of an anomaly: ${percent(found.probability)}`,
  sign: () => ["anomalous", "normal"],
  ramp: (found) => found.method === "anomaly-map"
    && (found.strongest > 0 ? `from typical to ${number(found.strongest)} standard deviations above` : "no region deviates more than usual"),

  alike: (card, answer, list) => ({
    agrees: () => true, summary: `${list.length} most similar known images`,
    lead: ["The most similar known images. Differences from the normal ones among them may show the anomaly."],
  }),
};

const rare = (answer) => `${percent(answer.p_value)} of normal images score at least as high`;
