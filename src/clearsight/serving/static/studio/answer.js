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

  async function request(waiting) {
    at("answer").hidden = false;
    if (waiting) busy(place, "Asking the model");
    const image = state.image;
    try {
      const found = await once((signal) => ask("/v1/predict", image, { coverage, picture: true }, signal));
      if (!found) return;
      const [answer] = found.predictions;
      draw(answer);
      if (state.answer === null) {
        state.answer = answer;
        tell("answer", answer);
        say(`${headline(answer)}, ${percent(answer.probability)}, ${doubt(answer.doubt)}`);
      }
    } catch (error) {
      document.body.classList.add("failed");
      trouble(place, error, () => request(true));
      tell("failed");
    }
  }

  function draw(answer) {
    document.body.classList.remove("failed");
    const inside = new Set(answer.set ?? []);
    const rows = byBelief(Object.entries(answer.probabilities).map(([name, value]) => ({ name, value, inside: inside.has(name) })));
    put(place,
      h("p", { class: "looks soft" }, answer.none_of_these ? "If anything, it looks like" : "It looks like"),
      h("p", { class: "label" }, answer.label),
      h("p", { class: "sure" }, h("strong", {}, percent(answer.probability)), " belief, ", doubt(answer.doubt),
        h("span", { class: "soft" }, ` (${answer.doubt.toFixed(2)})`)),
      answer.none_of_these && h("div", { class: "warning" },
        h("strong", {}, "None of these. "), "The image is unlike all that the model learned from, so its answer is a guess."),
      bars(rows),
      calibrated(),
      answer.strangeness !== null && h("p", { class: "strange soft" },
        `${percent(answer.strangeness)} of known images look less strange to the model than this one.`),
      answer.set === null ? h("p", { class: "soft" }, "This model knows no sets: it was not calibrated on images of its own.") : setOf(answer));
  }

  function setOf(answer) {
    return h("div", { class: "set" },
      segments("Set of classes that holds the true one", COVERAGES.map((c) => [c, `${Math.round(100 * c)}%`]), coverage,
        (value) => { coverage = value; request(false).then(() => place.querySelector(".set :checked")?.focus()); }),
      h("p", { class: "members", role: "group", "aria-label": "classes in the set" },
        answer.set.length ? answer.set.map((name) => h("span", { class: "chip" }, name)) : h("span", { class: "soft" }, "empty: no class is likely enough")),
      h("p", { class: "soft small" }, `Sets made like this hold the true class for ${Math.round(100 * coverage)} of 100 images.`));
  }

  on("image", () => request(true));
}

/** How far belief can be taken at its word, as measured on the test images. */
function calibrated() {
  const gap = state.card.scores.test?.ece;
  return typeof gap === "number" && h("p", { class: "strange soft" },
    `On its test images belief and truth lay ${(100 * gap).toFixed(1)} points apart on average.`);
}

const headline = (answer) => (answer.none_of_these ? `none of these; if anything ${answer.label}` : answer.label);
