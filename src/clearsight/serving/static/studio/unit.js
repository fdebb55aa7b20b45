// One unit: its map, its receptive field, the sum that its value is, and what excites it in known images.
import { ask, latest, read } from "./api.js";
import { h, put } from "./dom.js";
import { called, links } from "./graph.js";
import { box, enlarged, picture } from "./picture.js";
import { absent, busy, say, trouble } from "./say.js";
import { state } from "./state.js";
import { number, several, signed } from "./words.js";

export function unitView() {
  const once = latest();
  const often = latest();

  function leave() {
    once(async () => null);
    often(async () => null);
  }

  async function show(root, graph, node, unit, moved) {
    const image = state.image;
    const title = `${called(node)}, unit ${unit}`;
    if (!root.querySelector(".unit")) busy(root, `Looking at ${title}`);
    else root.querySelector(".unit").classList.add("old");
    try {
      const found = await once((signal) => ask("/v1/units", image, { layer: node.number, unit }, signal));
      if (!found) return;
      const strip = h("div", { class: "patches" });
      put(root, draw(graph, node, found, strip));
      if (moved) root.focus();
      say(`${title}: strongest value ${number(found.activation)}`);
      patches(node, unit, strip);
    } catch (error) {
      trouble(root, error, () => show(root, graph, node, unit, false));
    }
  }

  function draw(graph, node, found, strip) {
    const { height, width } = state.card.input;
    const seen = picture(state.answer?.picture ?? "", "the image with the unit's receptive field", [height, width]);
    const map = picture(found.picture, `the map of unit ${found.unit}`, [node.height, node.width]);
    const near = h("figure", {});
    const where = h("p", { class: "soft small" });
    const point = ([row, column]) => {
      box(map, "place", [row, column, row + 1, column + 1], [node.height, node.width]);
      const strongest = row === found.place[0] && column === found.place[1];
      const window = found.view ? [0, 1].map((axis) => found.view.start[axis] + [row, column][axis] * found.view.jump[axis]) : null;
      const sees = window && !strongest
        ? [window[0], window[1], window[0] + found.view.side[0], window[1] + found.view.side[1]] : found.window;
      box(seen, "window", sees, [height, width]);
      seen.querySelector(".box.looked")?.remove();
      if (strongest && found.looked_at) box(seen, "looked", found.looked_at, [height, width]);
      const dashed = strongest && found.looked_at ? "; the dashed box contains 90 % of its gradient" : "";
      where.textContent = `${strongest ? "At the position of the strongest activation" : "At this position"}, row ${row + 1}, column ${column + 1}, `
        + `the receptive field is ${sees[3] - sees[1]}×${sees[2] - sees[0]} pixels${dashed}.`;
      near.hidden = 2 * Math.max(sees[2] - sees[0], sees[3] - sees[1]) > Math.max(height, width);
      if (near.hidden) return;
      put(near, enlarged(state.answer.picture, "the receptive field, enlarged", sees, [height, width]),
        h("figcaption", {}, "the receptive field, enlarged"));
    };
    if (found.view) walkable(map, node, found.place, point);
    point(found.place);
    return h("div", { class: "unit" },
      h("p", { class: "crumbs" }, h("a", { href: "#/network" }, "All layers"), " / ", h("a", { href: `#/network/${node.number}` }, called(node))),
      h("div", { class: "pager" },
        h("h3", { class: "layer-title" }, `Unit ${found.unit}`),
        step(node, found.unit - 1, "Previous"), step(node, found.unit + 1, "Next")),
      h("div", { class: "pair" },
        h("figure", {}, seen, h("figcaption", {}, "its receptive field")),
        near,
        h("figure", {}, map, h("figcaption", {}, `its map, maximum ${number(found.activation)}`))),
      where,
      h("h4", {}, "Inputs"),
      sum(graph, node, found),
      h("h4", {}, "Strongest activations"), strip);
  }

  async function patches(node, unit, strip) {
    if (state.card.left_out.patches) {
      absent(strip, state.card.left_out.patches);
      return;
    }
    busy(strip, "Searching known images");
    try {
      const found = await often((signal) => read("/v1/patches", { layer: node.number, unit }, signal));
      if (!found) return;
      put(strip,
        h("ol", {}, found.patches.map((one) => {
          const view = picture(one.picture, `part of known image ${one.image}, ${one.label}`, one.size);
          box(view, "looked", one.looked_at, one.size);
          return h("li", {}, view, h("p", {}, h("strong", {}, one.label), h("span", { class: "soft" }, number(one.activation))));
        })),
        h("p", { class: "soft small" },
          `The positions with the strongest activations in ${several(found.images, "known image")}, one per image; the dashed box contains 90 % of the gradient.`,
          found.gated && " The unit also depends on the whole image, through the gates before this layer."));
    } catch (error) {
      trouble(strip, error, error.status === 404 ? null : () => patches(node, unit, strip));
    }
  }

  return { show, leave };
}

const step = (node, unit, word) => (unit >= 0 && unit < node.units
  ? h("a", { class: "button", href: `#/network/${node.number}/${unit}` }, word)
  : h("span", { class: "button off" }, word));

/** Pointer and arrow keys choose a place of the map. */
function walkable(map, node, start, point) {
  let place = [...start];
  map.tabIndex = 0;
  map.setAttribute("role", "application");
  map.setAttribute("aria-label", "The unit's feature map: use the arrow keys to choose a position, whose receptive field is shown on the image");
  const go = (row, column) => {
    place = [Math.max(0, Math.min(node.height - 1, row)), Math.max(0, Math.min(node.width - 1, column))];
    point(place);
  };
  map.addEventListener("pointermove", (event) => {
    const edge = map.getBoundingClientRect();
    go(Math.floor(((event.clientY - edge.top) / edge.height) * node.height), Math.floor(((event.clientX - edge.left) / edge.width) * node.width));
  });
  map.addEventListener("pointerleave", () => go(...start));
  map.addEventListener("keydown", (event) => {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!move) return;
    event.preventDefault();
    go(place[0] + move[0], place[1] + move[1]);
  });
}

/** The terms of the sum as bars around zero, each a way back. */
function sum(graph, node, found) {
  const terms = found.feeders.map((feeder) => ({ ...feeder, to: feeder.layer === null ? [] : links(graph, feeder.layer, feeder.unit) }));
  const amounts = [...terms.map((t) => t.amount), found.rest, found.bias].filter((v) => v !== null);
  const most = Math.max(1e-9, ...amounts.map(Math.abs));
  const rest = found.inputs - terms.length;
  const from = (t) => (t.to.length ? t.to.flatMap((one, i) => [i ? " + " : "", source(one.node, one.unit)]) : `input ${t.unit}`);
  const rows = terms.map((t) => term(from(t), t.amount ?? t.value, most, t.amount !== null, t.weights));
  if (rest > 0 && found.rest !== null) rows.push(term(`${rest} others`, found.rest, most, true));
  if (found.bias) rows.push(term(node.kind.includes("Norm") ? "shift" : "bias", found.bias, most, true));
  const whole = found.bias !== null && amounts.length > 0;
  return h("div", { class: "sum-of" },
    h("p", { class: "soft small" }, `This layer ${found.operation}${whole ? "; the terms below add up to the value at the position of the strongest activation" : ""}.`),
    rows.length > 0 && h("ul", { class: "terms" }, rows),
    whole && h("p", { class: "total" }, h("span", {}, "total"), h("strong", {}, signed(found.activation))));
}

function source(node, unit) {
  if (node.kind === "image") {
    const { channels } = state.card.input;
    return channels === 1 ? "the image" : `the image's ${channels === 3 ? ["red", "green", "blue"][unit] : `channel ${unit + 1}`}`;
  }
  return h("a", { href: `#/network/${node.number}/${unit}` }, `${called(node)}, unit ${unit}`);
}

function term(name, amount, most, counts, weights) {
  return h("li", { class: amount === null ? "" : amount < 0 ? "less" : "more-of" },
    h("span", { class: "term-name" }, weights && weights.length * weights[0].length > 1 && filter(weights), h("span", {}, name)),
    h("span", { class: "term-track", "aria-hidden": "true" }, counts && h("span", { class: "term-bar", vars: { "--v": Math.abs(amount) / most } })),
    h("span", { class: "term-value" }, amount === null ? "" : counts ? signed(amount) : number(amount)));
}

/** A filter's weights as squares, red above zero and blue below. */
function filter(weights) {
  const top = Math.max(1e-9, ...weights.flat().map(Math.abs));
  return h("span", { class: "filter", "aria-hidden": "true", vars: { "--side": weights[0].length } },
    weights.flat().map((w) => h("span", { class: w < 0 ? "less" : "more-of", vars: { "--v": Math.abs(w) / top } })));
}
