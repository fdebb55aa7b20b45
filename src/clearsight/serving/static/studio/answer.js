// The answer beside the image: asked for, drawn by its kind, and asked again where another coverage is chosen.
import { ask, latest } from "./api.js";
import { at, put } from "./dom.js";
import { kind } from "./kinds.js";
import { busy, say, trouble } from "./say.js";
import { on, state, tell } from "./state.js";

export function answerView() {
  const once = latest();
  const place = at("answer-body");
  const view = kind().view(state.card, cover);
  let coverage = 0.9;

  /** The answer for the image on the page; null where it failed, or is no longer wanted. */
  async function request() {
    try {
      const found = await once((signal) => ask("/v1/predict", state.image, { coverage, picture: true, ...kind().options }, signal));
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
    put(place, ...view.draw(answer, coverage));
    view.settle(answer, coverage);
    state.answer = answer;
    tell("answer", answer);
    say(kind().headline(answer));
  }

  async function cover(value) {
    coverage = value;
    const answer = await request();
    if (!answer) return;
    view.settle(answer, coverage);
    say(view.settled(answer));
  }

  on("image", begin);
}
