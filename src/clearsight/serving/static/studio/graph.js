// The network as one object: its nodes, who feeds whom, and how to call them.
import { read } from "./api.js";
import { several } from "./words.js";

const WORDS = { add: "sum", multiply: "product", concat: "concatenation", join: "junction" };

export async function loadGraph(signal) {
  const found = await read("/v1/network", {}, signal);
  const nodes = found.layers;
  const feeds = nodes.map(() => []);
  for (const node of nodes) for (const input of node.inputs) feeds[input].push(node.number);
  return { ...found, nodes, feeds };
}

export const kind = (node) => WORDS[node.kind] ?? node.kind;
export const called = (node) => node.name || (node.kind === "image" ? "image" : kind(node));

export function size(node) {
  if (node.kind === "image") return `${node.width}×${node.height}`;
  return node.height * node.width > 1 ? `${node.units} × ${node.width}×${node.height}` : several(node.units, "unit");
}

/** Where a unit of a node can be looked at: itself, or, of a sum without a name, the units that meet in it. */
export function links(graph, number, unit) {
  const node = graph.nodes[number];
  if (node.kind === "image") return [{ node, unit }];
  if (node.visible) return [{ node, unit }];
  if (node.kind === "concat") {
    const whole = node.inputs.reduce((sum, input) => sum + graph.nodes[input].units, 0) === node.units;
    if (!whole) return []; // pooled in several ways before they meet
    let left = unit;
    for (const input of node.inputs) {
      if (left < graph.nodes[input].units) return links(graph, input, left);
      left -= graph.nodes[input].units;
    }
    return [];
  }
  return node.inputs.flatMap((input) => links(graph, input, Math.min(unit, graph.nodes[input].units - 1)));
}
