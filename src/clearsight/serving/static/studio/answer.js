// The answer: which class, how sure, how much doubt, none of these, and the set of classes that holds the true one.
import { ask, latest } from "./api.js";
import { bars, byBelief } from "./bars.js";
import { segments } from "./controls.js";
import { at, h, put } from "./dom.js";
import { busy, say, trouble } from "./say.js";
import { on, state, tell } from "./state.js";
import { doubt, percent } from "./words.js";

const COVERAGES = [0.5, 0.8, 0.9, 0.95, 0.99];

export function answerView() {
  const once = latest();
  const place = at("answer-body");
  let coverage = 0.9;

  /** The answer for the image on the page; null where it failed, or is no longer wanted. */
  async function request() {
    try {
      const found = await once((signal) => ask("/v1/predict", state.image, { coverage, picture: true }, signal));
      return found && found.predictions[0];
    } catch (error) {
      document.body.classList.add("failed");
      trouble(place, error, begin);
      tell("failed");
      return null;
    }
  }

  async function begin() {
    at("answer").hidden = false;
    busy(place, "Asking the model");
    const answer = await request();
    if (!answer) return;
    document.body.classList.remove("failed");
    draw(answer);
    state.answer = answer;
    tell("answer", answer);
    say(`${headline(answer)}, ${percent(answer.probability)}, ${doubt(answer.doubt)}`);
  }

  const beliefs = h("div", {});
  const members = h("p", { class: "members", role: "group", "aria-label": "classes in the set" });
  const promise = h("p", { class: "soft small" });

  function draw(answer) {
    put(place,
      h("p", { class: "looks soft" }, answer.none_of_these ? "If anything, it looks like" : "It looks like"),
      h("p", { class: "label" }, answer.label),
      h("p", { class: "sure" }, h("strong", {}, percent(answer.probability)), " belief, ", doubt(answer.doubt),
        h("span", { class: "soft" }, ` (${answer.doubt.toFixed(2)})`)),
      answer.none_of_these && h("div", { class: "warning" },
        h("strong", {}, "None of these. "), "The image is unlike all that the model learned from, so its answer is a guess."),
      beliefs,
      calibrated(),
      answer.strangeness !== null && h("p", { class: "strange soft" },
        `${percent(answer.strangeness)} of known images look less strange to the model than this one.`),
      answer.set === null
        ? h("p", { class: "strange soft" }, "This model knows no sets: it was not calibrated on images of its own.")
        : h("div", { class: "set" },
          segments("Set of classes that holds the true one", COVERAGES.map((c) => [c, `${Math.round(100 * c)}%`]), coverage, cover),
          members, promise));
    settle(answer);
  }

  /** What depends on the coverage: the set, and which bars are in it. */
  function settle(answer) {
    const inside = new Set(answer.set ?? []);
    const rows = Object.entries(answer.probabilities).map(([name, value]) => ({ name, value, inside: inside.has(name) }));
    put(beliefs, bars(byBelief(rows)));
    put(members, answer.set?.length
      ? answer.set.map((name) => h("span", { class: "chip" }, name))
      : h("span", { class: "soft" }, "empty: no class is likely enough"));
    promise.textContent = `Sets made like this hold the true class for ${Math.round(100 * coverage)} of 100 images.`;
  }

  async function cover(value) {
    coverage = value;
    const answer = await request();
    if (!answer) return;
    settle(answer);
    say(`The set holds ${answer.set.length ? answer.set.join(", ") : "no class"}`);
  }

  on("image", begin);
}

/** How far belief can be taken at its word, as measured on the test images. */
function calibrated() {
  const gap = state.card.scores.test?.ece;
  return typeof gap === "number" && h("p", { class: "strange soft" },
    `On its test images belief and truth lay ${(100 * gap).toFixed(1)} points apart on average.`);
}

const headline = (answer) => (answer.none_of_these ? `none of these; if anything ${answer.label}` : answer.label);
