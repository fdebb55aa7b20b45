// What answers of every kind say beside themselves: how strange the image is, and what the coverage promises.
import { h } from "./dom.js";
import { percent } from "./words.js";

/** Choices of a coverage, as `segments` takes them. */
export const COVERAGES = [0.5, 0.8, 0.9, 0.95, 0.99].map((c) => [c, `${Math.round(100 * c)}%`]);

export const strange = (answer) => answer.strangeness !== null && h("p", { class: "strange soft" },
  `${percent(answer.strangeness)} of known images look less strange to the model than this one.`);

/** Of labels and numbers, where the image is unlike all that the model knows. */
export const unlike = (answer) => answer.none_of_these && h("div", { class: "warning" },
  h("strong", {}, "Unlike its images. "), "The image is stranger to the model than nearly all that it knows, so its answer may be a guess.");

/** A line that says what a coverage promises. */
export function promise() {
  const element = h("p", { class: "soft small" });
  return { element, tell: (text) => { element.textContent = text; } };
}
