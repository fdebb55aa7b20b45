// Predicted numbers: each with its interval on an axis, an angle on a dial, a direction as an arrow.
import { named } from "./classes.js";
import { segments } from "./controls.js";
import { h, put } from "./dom.js";
import { COVERAGES, promise, oodNote, unlike } from "./known.js";
import { arrow, axis, dial } from "./scales.js";
import { state } from "./state.js";
import { number, percent, several } from "./words.js";

export const numbers = {
  facts(card) {
    const test = card.scores.test ?? {};
    const { kind, unit } = card.task_card;
    const what = { number: "number", angle: "angle", direction: "direction" }[kind];
    const one = kind === "direction" ? 1 : card.classes.length;
    const off = test.median_error;
    return [
      kind === "direction" ? "a direction" : several(one, what),
      typeof off === "number" && `median error ${number(off)}${unit ? ` ${unit}` : ""} on ${several(test.n ?? 0, "test image")}`,
    ];
  },

  headline: (answer) => `${summary(answer)}${answer.is_ood ? ", out of distribution" : ""}`,

  view(card, cover) {
    const scales = h("div", { class: "scales" });
    const words = promise();
    return {
      draw: (answer, coverage) => [
        h("p", { class: "looks soft" }, "Prediction"),
        unlike(answer), scales, oodNote(answer),
        h("div", { class: "set" }, segments("Coverage of the interval", COVERAGES, coverage, cover), words.element),
      ],
      settle(answer, coverage) {
        put(scales, ...drawn(card, answer));
        words.show(open(answer)
          ? `Too few validation images for a coverage of ${percent(coverage, 0)}.`
          : `Coverage ${percent(coverage, 0)}: the true value is in the interval for about ${Math.round(100 * coverage)} of 100 images.`);
      },
      settled: (answer) => summary(answer),
    };
  },

  /** A direction is explained as a whole, whichever of its two numbers is the target. */
  explained: (card) => ({
    targets: named(card).slice(0, card.task_card.kind === "direction" ? 1 : undefined), away: "the prediction changes", back: "returns",
  }),
  strength: (found) => `${found.target}: ${number(found.value)}`,
  sign: (target) => (state.card.task_card.kind === "number" ? [`evidence for more ${target}`, `evidence for less ${target}`] : [`evidence for this ${target}`, "evidence against it"]),

  alike: (card, answer, list) => ({
    agrees: () => true, summary: `${list.length} most similar known images`,
    lead: ["The most similar known images, with their target values. If these values differ widely, the prediction is less certain."],
  }),
};

function drawn(card, answer) {
  const { kind, unit } = card.task_card;
  if (kind === "direction") return [arrow(answer.values, answer.within)];
  return Object.entries(answer.values).map(([name, value]) => {
    const span = answer.intervals[name];
    return kind === "angle" ? dial(name, value, span, unit) : axis(name, value, span, card.task_card);
  });
}

const open = (answer) => (answer.intervals
  ? Object.values(answer.intervals).some((span) => span.includes(null)) : answer.within === null);

const summary = (answer) => Object.entries(answer.values).map(([name, value]) => `${name} ${number(value)}${between(answer.intervals?.[name])}`)
  .join(", ") + (answer.within !== null ? `, within ${number(answer.within)} degrees` : "");

const between = (span) => (span && !span.includes(null) ? `, between ${number(span[0])} and ${number(span[1])}` : "");
