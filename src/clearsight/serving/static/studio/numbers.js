// Answers that are numbers: each with its interval on an axis, an angle as a dial, a direction as an arrow.
import { named } from "./classes.js";
import { segments } from "./controls.js";
import { h, put } from "./dom.js";
import { COVERAGES, promise, strange, unlike } from "./known.js";
import { arrow, axis, dial } from "./scales.js";
import { state } from "./state.js";
import { number, several } from "./words.js";

export const numbers = {
  facts(card) {
    const test = card.scores.test ?? {};
    const { kind, unit } = card.answer;
    const what = { number: "number", angle: "angle", direction: "direction" }[kind];
    const one = kind === "direction" ? 1 : card.classes.length;
    const off = test.median_error;
    return [
      kind === "direction" ? "a direction" : several(one, what),
      typeof off === "number" && `off by ${number(off)}${unit ? ` ${unit}` : ""} (median) on ${several(test.n ?? 0, "test image")}`,
    ];
  },

  headline: (answer) => `${said(answer)}${answer.none_of_these ? ", a guess: the image is unlike all it learned from" : ""}`,

  view(card, cover) {
    const scales = h("div", { class: "scales" });
    const words = promise();
    return {
      draw: (answer, coverage) => [
        h("p", { class: "looks soft" }, card.answer.kind === "direction" ? "It points" : "It says"),
        unlike(answer), scales, strange(answer),
        h("div", { class: "set" }, segments("How often the interval should hold", COVERAGES, coverage, cover), words.element),
      ],
      settle(answer, coverage) {
        put(scales, ...drawn(card, answer));
        words.tell(open(answer)
          ? `The model was tried on too few images to promise ${Math.round(100 * coverage)} of 100.`
          : `Intervals made like this hold the truth for ${Math.round(100 * coverage)} of 100 images.`);
      },
      settled: (answer) => said(answer),
    };
  },

  /** A direction is explained as a whole, whichever of its two numbers is asked about. */
  explained: (card) => ({
    targets: named(card).slice(0, card.answer.kind === "direction" ? 1 : undefined), away: "the answer gives way", back: "comes back",
  }),
  strength: (found) => `${found.target}: ${number(found.value)}`,
  sign: (target) => (state.card.answer.kind === "number" ? [`for more ${target}`, `for less ${target}`] : [`for this ${target}`, "against it"]),

  alike: (card, answer, list) => ({
    agrees: () => true, said: `The ${list.length} most similar known images are there`,
    lead: ["The known images most like it, with the numbers they were given. Where these lie far apart, so may the answer."],
  }),
};

function drawn(card, answer) {
  const { kind, unit } = card.answer;
  if (kind === "direction") return [arrow(answer.values, answer.within)];
  return Object.entries(answer.values).map(([name, value]) => {
    const span = answer.intervals[name];
    return kind === "angle" ? dial(name, value, span, unit) : axis(name, value, span, card.answer);
  });
}

const open = (answer) => (answer.intervals
  ? Object.values(answer.intervals).some((span) => span.includes(null)) : answer.within === null);

const said = (answer) => Object.entries(answer.values).map(([name, value]) => `${name} ${number(value)}${between(answer.intervals?.[name])}`)
  .join(", ") + (answer.within !== null ? `, within ${number(answer.within)} degrees` : "");

const between = (span) => (span && !span.includes(null) ? `, between ${number(span[0])} and ${number(span[1])}` : "");
