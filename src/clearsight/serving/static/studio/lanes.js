// The ways through a network as lines beside its list of layers, as a history of changes is drawn: the main way stays on
// the left, a skip or branch takes a lane of its own until it meets the main way again.

const MOST = 7;

/** For nodes in the order they run: the lane of each, every way as points [row, lane], and how many lanes there are. */
export function lanes(nodes) {
  const last = new Map(); // number of a node -> the last node that reads it
  for (const node of nodes) for (const input of node.inputs) last.set(input, node.number);
  const taken = []; // lane -> the node whose output runs in it
  const ways = new Map(); // node -> points of its way down
  const lane = [];
  const free = (from) => {
    let found = from;
    while (taken[found] !== undefined) found += 1;
    return found;
  };
  nodes.forEach((node, row) => {
    const held = node.inputs.map((input) => taken.indexOf(input)).filter((at) => at >= 0);
    const ending = held.filter((at) => last.get(taken[at]) === node.number);
    const own = ending.length ? Math.min(...ending) : held.length ? Math.min(...held) : free(0);
    const staying = taken[own];
    if (staying !== undefined && last.get(staying) !== node.number) { // its output goes on, and makes room
      const aside = free(own + 1);
      taken[aside] = staying;
      ways.get(staying).points.push([row, aside]);
    }
    for (const input of node.inputs) {
      const at = taken.indexOf(input);
      if (last.get(input) !== node.number) continue;
      ways.get(input).ends.push([row, own]);
      if (at >= 0) taken[at] = undefined;
    }
    for (const input of node.inputs) {
      if (last.get(input) !== node.number) ways.get(input).ends.push([row, own]);
    }
    lane[row] = own;
    taken[own] = last.has(node.number) ? node.number : undefined;
    ways.set(node.number, { points: [[row, own]], ends: [] });
  });
  const drawn = [...ways.values()].flatMap(strokes);
  const widest = Math.max(...drawn.flat().map(([, at]) => at), 0);
  return { lane: lane.map(cut), ways: drawn, count: widest + 1 };
}

const cut = (lane) => Math.min(MOST - 1, lane);

/** A way as one line for each node that it ends at. */
function strokes({ points, ends }) {
  return ends.map(([row, lane]) => {
    const through = points.filter(([at]) => at < row);
    return [...through, [row, lane]].map(([at, l]) => [at, cut(l)]);
  });
}

/** A path through points of (row, lane), straight down and around corners just before the row where the lane changes. */
export function path(points, x, y, height) {
  let d = "";
  points.forEach(([row, lane], i) => {
    if (!i) {
      d += `M${x(lane)} ${y(row)}`;
      return;
    }
    const [before, from] = points[i - 1];
    if (from === lane) {
      d += `V${y(row)}`;
      return;
    }
    const start = Math.max(y(before), y(row) - height);
    d += `V${start}C${x(from)} ${(start + y(row)) / 2} ${x(lane)} ${(start + y(row)) / 2} ${x(lane)} ${y(row)}`;
  });
  return d;
}
