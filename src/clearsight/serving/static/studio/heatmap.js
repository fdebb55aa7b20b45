// A heatmap by any method of the model, over the image, with its faithfulness.
import { ask, latest } from "./api.js";
import { choice, slider } from "./controls.js";
import { at, h, put, s } from "./dom.js";
import { kind } from "./kinds.js";
import { picture } from "./picture.js";
import { absent, busy, say, trouble } from "./say.js";
import { on, state } from "./state.js";
import { percent, signed } from "./words.js";

const NAMES = {
  "anomaly-map": "Anomaly map: how far each region is from normal",
  "grad-cam": "Grad-CAM: feature maps of a layer, weighted by their mean gradients",
  saliency: "Saliency: the gradient of the prediction",
  smoothgrad: "SmoothGrad: the gradient, averaged over noisy copies",
  "integrated-gradients": "Integrated Gradients: gradients averaged along the path from a blurred image to the original",
  guided: "Guided backpropagation: positive gradients only",
  occlusion: "Occlusion: drop in probability when a square is covered",
  lime: "LIME: weights of superpixels in a local linear model",
  shap: "SHAP: Shapley values of superpixels",
};
const SLOW = ["lime", "shap", "occlusion"]; // slow methods: map and faithfulness in one request

export function heatmapView() {
  const root = at("heatmap");
  root.classList.add("asks");
  const methods = Object.keys(NAMES).filter((name) => state.card.methods.includes(name));
  const once = latest();
  let shown = null; // what the map on the screen is of
  const stage = h("div", { class: "heat-stage" });
  const quality = h("div", { class: "quality" });
  const { targets, away, back, unmeasured } = kind().explained(state.card);
  const chosen = { method: methods[0], target: targets[0]?.[0], opacity: 0.75 };
  const opacity = slider("Opacity", { min: 0, max: 1, step: 0.05, value: chosen.opacity }, (v) => percent(v, 0), fade);
  put(root,
    h("div", { class: "controls" },
      choice("Method", methods.map((m) => [m, NAMES[m]]), chosen.method, (value) => { chosen.method = value; request(); }),
      targets.length > 1 && choice("Target", targets, chosen.target, (value) => { chosen.target = value; request(); })),
    h("div", { class: "heat" }, h("div", {}, stage, opacity.element), quality));

  function fade(value) {
    chosen.opacity = value;
    stage.style.setProperty("--opacity", value);
  }

  async function request() {
    if (!state.answer || root.hidden) return;
    const { method, target } = chosen;
    const image = (shown = state.image);
    const slow = SLOW.includes(method);
    if (!stage.querySelector(".over")) busy(stage, "Computing the map");
    stage.classList.add("old");
    if (slow) busy(quality, "This method takes a few seconds");
    else quality.replaceChildren();
    const options = { method, target, apart: true, picture: false, faithfulness: slow && !unmeasured };
    try {
      const found = await once(async (signal) => {
        const first = await ask("/v1/explain", image, options, signal);
        if (signal.aborted) return first;
        draw(first);
        if (slow || unmeasured) return first;
        busy(quality, "Measuring faithfulness");
        return ask("/v1/explain", image, { ...options, apart: false, faithfulness: true }, signal);
      });
      if (found) describe(found);
    } catch (error) {
      shown = null;
      stage.classList.remove("old");
      trouble(quality, error, request);
    }
  }

  function draw(found) {
    const over = h("img", { src: found.above, alt: "", class: "over" });
    const view = picture(found.below, `the image under the ${found.method} map of ${found.target}`, found.shape);
    view.querySelector("img").classList.add("under");
    view.append(over);
    stage.classList.remove("old");
    put(stage, view);
    fade(chosen.opacity);
  }

  function describe(found) {
    if (found.faithfulness) {
      drawFaithfulness(found);
      return;
    }
    say(`Map for ${found.target}`);
    put(quality, h("h3", {}, "How to read it"), read(found), h("p", { class: "soft small" }, unmeasured ?? found.verdict));
  }

  function drawFaithfulness(found) {
    const f = found.faithfulness;
    const bad = f.verdict !== "better than chance";
    say(`Map for ${found.target}: faithfulness ${signed(f.score)}, ${f.verdict}`);
    put(quality,
      h("h3", {}, "Faithfulness to the model"),
      h("p", { class: `verdict ${bad ? "bad" : ""}` }, `${signed(Number(f.score.toFixed(2)))}, ${f.verdict}`),
      gauge(f.score),
      h("p", { class: "soft small" },
        `Faithfulness: how much sooner ${away} when regions are removed in order of importance, `,
        `and ${back} when they are restored in this order, than in random order.`),
      h("dl", { class: "figures" },
        figure("deletion", f.deletion, f.random_deletion), figure("insertion", f.insertion, f.random_insertion)),
      found.randomised !== null && h("p", { class: found.randomised > 0.7 ? "warning" : "soft small" },
        `The correlation between this map and the map computed with shuffled weights is ${signed(Number(found.randomised.toFixed(2)))}`,
        found.randomised > 0.7 ? ": this map shows the image, not the model." : ", so this map depends on the trained weights."),
      read(found));
  }

  /** What the colours mean, and the target of the map. */
  const read = (found) => [
    h("p", { class: "key soft small" }, found.signed
      ? kind().sign(found.target).map((words, i) => [h("span", { class: `swatch ${i ? "against" : "for"}` }), words])
      : [h("span", { class: "ramp" }), kind().ramp?.(found) || "weak to strong"]),
    h("p", { class: "soft small" }, `${kind().strength(found)}. Took ${found.seconds.toFixed(1)} s.`),
  ];

  function wait() {
    put(quality);
    stage.classList.remove("old");
    absent(stage, state.image ? "There is no prediction to explain." : "Open an image to see its heatmap.");
  }

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

function figure(name, own, chance) {
  return [h("dt", {}, name), h("dd", {}, own.toFixed(2), h("span", { class: "soft" }, ` (random ${chance.toFixed(2)})`))];
}

/** The score on a line from -1 to 1, chance in the middle. */
function gauge(score) {
  const x = (value) => 100 + 96 * Math.max(-1, Math.min(1, value));
  return s("svg", { class: "gauge", viewBox: "0 0 200 34", role: "img", "aria-label": `faithfulness ${signed(score)}, from -1 to 1` },
    s("line", { x1: 4, x2: 196, y1: 10, y2: 10, class: "track" }),
    s("rect", { x: x(-0.02), width: x(0.02) - x(-0.02), y: 4, height: 12, class: "chance" }),
    s("line", { x1: x(0), x2: x(score), y1: 10, y2: 10, class: score > 0.02 ? "good" : "poor" }),
    s("circle", { cx: x(score), cy: 10, r: 5, class: score > 0.02 ? "good" : "poor" }),
    s("text", { x: 4, y: 31 }, "misleading"), s("text", { x: 100, y: 31, "text-anchor": "middle" }, "chance"),
    s("text", { x: 196, y: 31, "text-anchor": "end" }, "faithful"));
}
