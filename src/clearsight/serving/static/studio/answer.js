// The prediction beside the image: requested, drawn by its kind, and requested again for another coverage.
import { ask, latest } from "./api.js";
import { at, put } from "./dom.js";
import { kind } from "./kinds.js";
import { busy, say, trouble } from "./say.js";
import { emit, on, state } from "./state.js";

export function answerView() {
  const once = latest();
  const place = at("answer-body");
  const view = kind().view(state.card, cover);
  let coverage = 0.9;

  /** The prediction for the image on the page; null if it failed or a later request replaced it. */
  async function request() {
    try {
      const found = await once((signal) => ask("/v1/predict", state.image, { coverage, picture: true, ...kind().options }, signal));
      return found && found.predictions[0];
    } catch (error) {
      document.body.classList.add("failed");
      trouble(place, error, begin);
      emit("failed");
      return null;
    }
  }

  async function begin() {
    at("answer").hidden = false;
    busy(place, "Predicting");
    const answer = await request();
    if (!answer) return;
    document.body.classList.remove("failed");
    put(place, ...view.draw(answer, coverage));
    view.settle(answer, coverage);
    state.answer = answer;
    emit("answer", answer);
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
