// One layer: what it is, who feeds it, and its maps of the image, each a way to its unit.
import { ask, latest } from "./api.js";
import { roving } from "./controls.js";
import { h, put } from "./dom.js";
import { called, kind, size } from "./graph.js";
import { absent, busy, say, trouble } from "./say.js";
import { state } from "./state.js";
import { unitView } from "./unit.js";
import { large, number, several } from "./words.js";

const PAGE = 64;

export function layerView(root) {
  const once = latest();
  const unit = unitView();
  let start = 0;

  function none() {
    unit.leave();
    absent(root, state.image
      ? "Choose a layer to see all its feature maps, then a unit to see its inputs."
      : "Choose a layer. Once an image is open, each layer shows its feature maps.");
  }

  /** The address names what does not exist. */
  function missing(text) {
    unit.leave();
    put(root, back(), h("p", { class: "absent" }, text));
    say(text);
  }

  function show(graph, node, which, moved) {
    if (!node.visible) {
      absent(root, "Several paths meet here. Choose a layer before or after this point.");
      return;
    }
    if (which !== null && !(which >= 0 && which < node.units)) {
      missing(`There is no unit ${which} in ${called(node)}: its units are numbered from 0 to ${node.units - 1}.`);
      return;
    }
    if (which !== null && state.image) {
      unit.show(root, graph, node, which, moved);
      return;
    }
    unit.leave();
    start = which === null ? 0 : Math.floor(which / PAGE) * PAGE;
    draw(graph, node);
    if (moved) root.focus();
  }

  function draw(graph, node) {
    const place = h("div", { class: "maps-place" });
    const fed = node.inputs.map((input) => way(graph, input));
    const feeds = graph.feeds[node.number].map((next) => way(graph, next));
    put(root,
      back(),
      h("h3", { class: "layer-title" }, called(node)),
      h("dl", { class: "facts" },
        fact("kind", kind(node)), fact("output", size(node)),
        node.parameters > 0 && fact("parameters", large(node.parameters)),
        node.multiply_adds > 0 && fact("multiply-adds", large(node.multiply_adds)),
        node.receptive_field && fact("receptive field", `${node.receptive_field}×${node.receptive_field} pixels`),
        fed.length > 0 && fact("inputs from", fed), feeds.length > 0 && fact("output to", feeds)),
      node.arithmetic && h("details", {}, h("summary", {}, "The arithmetic"),
        node.arithmetic.split("; ").map((line) => h("code", { class: "sum" }, line))),
      place);
    if (state.image) maps(node, place);
    else absent(place, "Open an image to see its feature maps.");
  }

  async function maps(node, place) {
    const image = state.image;
    if (!place.children.length) busy(place, "Computing the maps");
    place.classList.add("old");
    try {
      const found = await once((signal) => ask("/v1/maps", image, { layer: node.number, start, most: PAGE }, signal));
      if (found) grid(node, place, found);
    } catch (error) {
      trouble(place, error, () => maps(node, place));
    }
  }

  function grid(node, place, found) {
    const [one] = found.layers;
    const rows = Math.ceil(found.tiles / found.columns);
    const end = Math.min(node.units, start + PAGE);
    const go = (to) => { start = to; maps(node, place); };
    const vars = { "--sheet": `url("${found.picture}")`, "--columns": found.columns, "--rows": rows };
    const sheet = h("div", { class: "tiles", vars },
      one.units.map((u, i) => h("a", {
        class: "tile", href: `#/network/${node.number}/${u}`, "aria-label": `unit ${u}, up to ${number(one.peaks[i])}`,
      },
        h("span", { class: "map", vars: { "--x": i % found.columns, "--y": Math.floor(i / found.columns) } }),
        h("span", { class: "tile-words", "aria-hidden": "true" },
          h("span", {}, u), h("span", { class: "soft" }, number(one.peaks[i]))))));
    place.classList.remove("old");
    put(place,
      h("div", { class: "pager" },
        h("h4", {}, node.units > PAGE ? `Units ${start} to ${end - 1} of ${node.units.toLocaleString("en")}` : several(node.units, "unit")),
        node.units > PAGE && [
          h("button", { type: "button", disabled: start === 0, on: { click: () => go(start - PAGE) } }, "Previous"),
          h("button", { type: "button", disabled: end === node.units, on: { click: () => go(end) } }, "Next"),
        ]),
      sheet,
      h("p", { class: "soft small" },
        one.below_zero ? [h("span", { class: "swatch for" }), "positive", h("span", { class: "swatch against" }), "negative"] : [h("span", { class: "ramp" }), "zero to strongest"],
        "; each scaled by its largest value, shown below it.", one.silent > 0 && ` Constant: ${several(one.silent, "unit")}.`));
    roving(sheet, "a.tile", () => getComputedStyle(sheet).gridTemplateColumns.split(" ").length)();
    say(`${called(node)}: ${several(node.units, "unit")}`);
  }

  return { show, none, missing };
}

/** A link to another node, or its name where there is nothing to look at. */
export function way(graph, to) {
  const node = graph.nodes[to];
  if (node.visible) return h("a", { href: `#/network/${to}` }, called(node));
  const sign = { add: " + ", multiply: " × ", concat: ", ", join: " and " }[node.kind];
  if (!sign) return h("span", {}, called(node));
  return h("span", {}, `${kind(node)} of `, node.inputs.flatMap((input, i) => (i ? [sign, way(graph, input)] : [way(graph, input)])));
}

const back = () => h("p", { class: "crumbs" }, h("a", { href: "#/network" }, "All layers"));
const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
