// Adversarial attack on the image, with the epsilon of the slider.
import { ask, latest } from "./api.js";
import { bars, byProbability } from "./bars.js";
import { choice, segments, slider } from "./controls.js";
import { at, h, put } from "./dom.js";
import { picture } from "./picture.js";
import { absent, busy, say, trouble } from "./say.js";
import { on, state } from "./state.js";
import { number, percent, several } from "./words.js";

const PAUSE = 120; // ms without a move before the server is asked
const STEPS = 60; // positions of the slider; they lie denser where epsilon is small

export function attackView() {
  const root = at("attack");
  root.classList.add("asks");
  const missing = state.card.left_out.attack;
  if (missing) {
    absent(root, missing);
    return { show: () => {} };
  }
  const { channels, height, width } = state.card.input;
  const most = { linf: 0.3, l2: 0.15 * Math.sqrt(channels * height * width) };
  const chosen = { method: "pgd", norm: "linf", target: "", at: 20 };
  const once = latest();
  let timer = 0;
  let shown = null;
  const epsilon = (position = chosen.at) => most[chosen.norm] * (position / STEPS) ** 2;
  const label = (position) => (chosen.norm === "linf"
    ? `${number(epsilon(position))}, ${number(255 * epsilon(position))} of 255 levels`
    : `${number(epsilon(position))} (L2 norm)`);
  const strength = slider("Epsilon", { min: 0, max: STEPS, step: 1, value: chosen.at }, label, (value) => {
    chosen.at = value;
    soon();
  });
  const place = h("div", { class: "attacked" });
  put(root,
    h("div", { class: "controls" },
      h("div", { class: "wide" }, strength.element),
      choice("Towards", [["", "any other class"], ...state.card.classes.map((name) => [name, name])], "", set("target")),
      segments("Method", [["pgd", "PGD", "many small steps"], ["apgd", "APGD", "steps of adapted size"], ["fgsm", "FGSM", "one step"]], "pgd", set("method")),
      segments("Measured as", [["linf", "largest change", "L-infinity"], ["l2", "Euclidean norm", "L2"]], "linf", set("norm"))),
    place);

  function set(name) {
    return (value) => {
      chosen[name] = value;
      strength.refresh();
      soon();
    };
  }
  function soon() {
    clearTimeout(timer);
    place.classList.add("old");
    timer = setTimeout(request, PAUSE);
  }

  async function request() {
    if (!state.answer || root.hidden) return;
    const image = (shown = state.image);
    if (!place.querySelector("figure")) busy(place, "Attacking");
    place.classList.add("old");
    const { method, norm, target } = chosen;
    try {
      const found = await once((signal) => ask("/v1/attack", image, { epsilon: epsilon(), method, norm, target }, signal));
      if (found) draw(found);
    } catch (error) {
      shown = null;
      place.classList.remove("old");
      trouble(place, error, request);
    }
  }

  function draw(found) {
    const { before, after } = found;
    const turned = before.label !== after.label;
    const size = [height, width];
    const rows = byProbability(Object.entries(after.probabilities).map(([name, value]) => ({ name, value, before: before.probabilities[name] ?? 0 })));
    const first = [after.label, before.label, found.target];
    rows.sort((a, b) => first.includes(b.name) - first.includes(a.name));
    const words = turned
      ? [h("strong", {}, "Changed: "), `“${before.label}” (${percent(before.probability)}) became “${after.label}” (${percent(after.probability)}).`]
      : [h("strong", {}, "Unchanged: "), `still “${after.label}”, ${percent(before.probability)} before and ${percent(after.probability)} after.`];
    const noticed = after.is_ood === null ? "" : before.is_ood
      ? ` The image was out of distribution before, and ${after.is_ood ? "still is" : "no longer is"}.`
      : after.is_ood ? " The adversarial image is flagged as out of distribution." : turned ? " The adversarial image is not flagged as out of distribution." : "";
    say(`Epsilon ${label(chosen.at)}. ${turned ? "Changed" : "Unchanged"}: ${after.label}, ${percent(after.probability)}`);
    place.classList.remove("old");
    put(place,
      h("p", { class: `lead ${turned ? "turned" : ""}` }, words, noticed),
      h("div", { class: "three" },
        figure("the image", picture(found.picture, "the image before the attack", size)),
        figure("adversarial image", picture(found.attacked, "the image after the attack", size)),
        figure(`the change, amplified ${number(found.gain)} times`, picture(found.difference, "the difference around gray", size))),
      h("h3", {}, "Probabilities before and after"),
      bars(rows, { few: 5, label: "probabilities before and after the attack" }),
      h("p", { class: "soft small" },
        `Largest change ${number(found.largest)} (${number(255 * found.largest)} of 255 levels), `,
        `Euclidean norm ${number(found.length)}; ${several(found.steps, "gradient step")}.`));
  }

  const wait = () => absent(place, state.image ? "There is no prediction to attack." : "Open an image and move the slider.");
  on("image", () => { shown = null; });
  on("answer", request);
  on("failed", wait);
  return {
    show: () => {
      if (!state.answer) wait();
      else if (shown !== state.image) request();
    },
  };
}

const figure = (words, view) => h("figure", {}, view, h("figcaption", {}, words));
