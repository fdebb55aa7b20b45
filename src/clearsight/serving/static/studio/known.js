// Parts that several kinds of predictions share: the OOD percentile, the OOD warning and the coverage.
import { h } from "./dom.js";
import { percent } from "./words.js";

/** Choices of a coverage, as `segments` takes them. */
export const COVERAGES = [0.5, 0.8, 0.9, 0.95, 0.99].map((c) => [c, percent(c, 0)]);

export const oodNote = (answer) => answer.ood_percentile !== null && h("p", { class: "note soft" },
  `${percent(answer.ood_percentile)} of known images have a lower OOD score than this one.`);

/** The warning for out-of-distribution images. */
export const unlike = (answer) => answer.is_ood && h("div", { class: "warning" },
  h("strong", {}, "Out of distribution. "), "The image is unlike the training images, so the prediction is not reliable.");

/** A line that explains the coverage. */
export function promise() {
  const element = h("p", { class: "soft small" });
  return { element, show: (text) => { element.textContent = text; } };
}
