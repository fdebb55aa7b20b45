// The training images that look most alike to the model.
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
    const { agrees, said, lead } = kind().alike(state.card, state.answer, list);
    const tiny = Math.max(state.card.input.height, state.card.input.width) <= 48;
    say(said);
    put(root,
      h("p", { class: "lead" }, lead),
      h("ol", { class: "alike" }, list.map((one) => h("li", { class: agrees(one) ? "" : "other" },
        one.picture
          ? h("img", { src: one.picture, class: tiny ? "pixelated" : "", alt: `known image ${one.image}` })
          : h("div", { class: "gone" }, "not there any more"),
        h("p", {}, h("strong", {}, one.label || "no label"), h("span", { class: "soft" }, one.likeness.toFixed(3))),
        h("p", { class: "soft small file" }, one.image)))),
      h("p", { class: "soft small" }, "The number at the right is the cosine between what the network makes of the two images: 1 is the same."));
  }

  const wait = () => absent(root, state.image ? "There is no answer to compare." : "Give an image, and the known images most like it appear here.");
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
