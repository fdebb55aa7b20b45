// The network to walk through: its layers in order beside the lines of who feeds whom, each with a few of its maps.
import { ask, latest } from "./api.js";
import { roving } from "./controls.js";
import { at, h, put, s } from "./dom.js";
import { called, kind, loadGraph, size } from "./graph.js";
import { lanes, path } from "./lanes.js";
import { layerView } from "./layer.js";
import { absent, busy, say, trouble } from "./say.js";
import { on, state } from "./state.js";
import { here } from "./tabs.js";
import { large } from "./words.js";

const ROW = 46;
const HEAD = 30;
const GAP = 13;
const FEW = 3;

export function networkView() {
  const root = at("network");
  const missing = state.card.left_out.network;
  if (missing) {
    absent(root, missing);
    return { show: () => {} };
  }
  const list = h("div", { class: "layers" });
  const detail = h("div", { class: "detail", tabindex: "-1" });
  const once = latest();
  let graph = null;
  let loading = false;
  let mapped = null;
  let settle = () => {};
  const layer = layerView(detail);
  put(root, h("div", { class: "walk" }, list, detail));

  async function load() {
    loading = true;
    busy(list, "Loading the network");
    try {
      graph = await loadGraph();
      draw();
    } catch (error) {
      trouble(list, error, load);
      return;
    } finally {
      loading = false;
    }
    open();
  }

  function draw() {
    const { lane, ways, count } = lanes(graph.nodes);
    const tops = [];
    let y = 0;
    const rows = [];
    let group = null;
    for (const node of graph.nodes) {
      if (node.group !== group && node.group) {
        rows.push(h("p", { class: "block", vars: { "--lanes": count } }, node.group));
        y += HEAD;
      }
      group = node.group;
      tops[node.number] = y;
      rows.push(row(node, count));
      y += ROW;
    }
    const x = (l) => 12 + GAP * l;
    const middle = (number) => tops[number] + ROW / 2;
    const lines = s("svg", { class: "lines", width: x(count), height: y, "aria-hidden": "true" },
      ways.map((points) => s("path", { d: path(points, x, middle, ROW) })),
      graph.nodes.map((node, i) => s("circle", {
        cx: x(lane[i]), cy: middle(node.number), r: node.visible ? 4.5 : 3, class: node.visible ? "" : "meet",
      })));
    put(list,
      h("p", { class: "soft small totals" },
        `${graph.nodes.filter((n) => n.visible).length} layers, ${large(graph.parameters)} parameters, `,
        `${large(graph.multiply_adds)} multiply-adds per image`),
      h("nav", { class: "rows", "aria-label": "Layers in order of execution; use the arrow keys to move" }, lines, rows));
    settle = roving(list, "a.row");
    settle();
  }

  function row(node, count) {
    const text = [
      h("span", { class: "row-name" }, within(node)),
      h("span", { class: "row-kind soft" }, [size(node), what(node)].filter(Boolean).join("  ·  ")),
      h("span", { class: "minis", id: `minis-${node.number}`, "aria-hidden": "true" }),
    ];
    const props = { class: "row", vars: { "--lanes": count } };
    return node.visible ? h("a", { ...props, href: `#/network/${node.number}`, id: `layer-${node.number}` }, text) : h("div", props, text);
  }

  const what = (node) => (node.name ? kind(node) : node.kind === "image" ? "input" : "");

  /** The name without that of its block, which stands above. */
  function within(node) {
    const prefix = `${node.group}.`;
    if (!node.group || !node.name.startsWith(prefix)) return called(node);
    return [h("span", { class: "hidden" }, prefix), node.name.slice(prefix.length)];
  }

  /** A few maps of every layer, once for each image. */
  async function minis() {
    if (!graph || !state.answer || root.hidden || mapped === state.image) return;
    mapped = state.image;
    try {
      const found = await once((signal) => ask("/v1/maps", mapped, { most: FEW }, signal));
      if (!found) return;
      const rows = found.tiles / found.columns;
      for (const one of found.layers) {
        put(at(`minis-${one.layer}`), ...one.units.map((_, i) => h("span", {
          class: "mini", vars: {
            "--sheet": `url("${found.picture}")`, "--columns": found.columns, "--rows": rows,
            "--x": (one.first + i) % found.columns, "--y": Math.floor((one.first + i) / found.columns),
          },
        })));
      }
      put(at("minis-0"), h("img", { src: state.answer.picture, alt: "", class: "mini" }));
      say("The feature maps of all layers are loaded");
    } catch (error) {
      mapped = null;
      trouble(detail, error, minis);
    }
  }

  /** Show what the address points at. Whoever walks on in the detail, or sees it alone, is taken along; a reader of the
   * list stays there. */
  function open(rest = here().tab === "network" ? here().rest : [], moved = false) {
    if (!graph) return;
    minis();
    const [number, unit] = rest.map(Number);
    const node = graph.nodes[number];
    const before = list.querySelector("[aria-current]");
    for (const other of list.querySelectorAll("[aria-current]")) other.removeAttribute("aria-current");
    root.querySelector(".walk").classList.toggle("deep", Boolean(rest[0]));
    if (!node) {
      if (rest[0]) layer.missing(`There is no layer ${rest[0]}: layers are numbered from 0 to ${graph.nodes.length - 1}.`);
      else layer.none();
      if (moved && detail.contains(document.activeElement)) before?.focus();
      return;
    }
    const reading = list.contains(document.activeElement) && list.offsetParent !== null;
    const link = at(`layer-${number}`);
    link?.setAttribute("aria-current", "true");
    settle();
    link?.scrollIntoView({ block: "nearest" });
    layer.show(graph, node, Number.isInteger(unit) ? unit : null, moved && !reading);
  }

  on("answer", () => { if (!root.hidden) open(); });
  return {
    show: (rest, moved) => {
      if (!graph && !loading) load();
      else open(rest, moved);
    },
  };
}
