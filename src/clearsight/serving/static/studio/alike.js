// The most similar training images, by the features of the model.
import { ask, latest } from "./api.js";
import { at, h, put } from "./dom.js";
import { kind } from "./kinds.js";
import { absent, busy, say, trouble } from "./say.js";
import { on, state } from "./state.js";

const COUNT = 12;

export function alikeView() {
  const root = at("alike");
  const once = latest();
  let shown = null;
  const missing = state.card.left_out.search;
  if (missing) absent(root, missing);

  async function request() {
    if (missing || !state.answer || root.hidden) return;
    shown = state.image;
    busy(root, "Searching");
    try {
      const found = await once((signal) => ask("/v1/search", shown, { k: COUNT, pictures: true }, signal));
      if (found) draw(found.neighbours);
    } catch (error) {
      shown = null;
      trouble(root, error, request);
    }
  }

  function draw(list) {
    const { agrees, summary, lead } = kind().alike(state.card, state.answer, list);
    const tiny = Math.max(state.card.input.height, state.card.input.width) <= 48;
    say(summary);
    put(root,
      h("p", { class: "lead" }, lead),
      h("ol", { class: "alike" }, list.map((one) => h("li", { class: agrees(one) ? "" : "other" },
        one.picture
          ? h("img", { src: one.picture, class: tiny ? "pixelated" : "", alt: `known image ${one.image}` })
          : h("div", { class: "gone" }, "no longer available"),
        h("p", {}, h("strong", {}, one.label || "no label"), h("span", { class: "soft" }, one.likeness.toFixed(3))),
        h("p", { class: "soft small file" }, one.image)))),
      h("p", { class: "soft small" }, "The number on the right is the cosine similarity of the features; 1 means identical."));
  }

  const wait = () => absent(root, state.image ? "There is no prediction to compare." : "Open an image to see the most similar known images.");
  on("image", () => { shown = null; });
  on("answer", request);
  on("failed", () => { if (!missing) wait(); });
  return {
    show: () => {
      if (missing) return;
      if (!state.answer) wait();
      else if (shown !== state.image) request();
    },
  };
}
