// Numbers drawn: a value and its interval on an axis of the training values, an angle on a dial, a direction as an arrow.
import { h, s } from "./dom.js";
import { number } from "./words.js";

const R = 80;
const FULL = { degrees: 360, radians: 2 * Math.PI };

/** The name, the value large, and the interval in words, above a drawing. */
function scale(name, value, unit, interval, drawing) {
  return h("figure", { class: "scale" },
    h("figcaption", {},
      h("span", { class: "scale-name" }, name),
      h("span", { class: "label" }, value, unit && h("span", { class: "unit" }, unit)),
      h("span", { class: "soft" }, interval)),
    drawing);
}

/** about: low and high of the model's range, and the lowest and highest of its training values, which the axis shows. */
export function axis(name, value, [low, high], about) {
  const known = about.ends?.[name] ?? [about.low ?? low ?? value - 1, about.high ?? high ?? value + 1];
  const points = [...known, value, low, high].filter((v) => v !== null);
  let [from, to] = [Math.min(...points), Math.max(...points)];
  if (from === to) [from, to] = [from - 1, to + 1];
  const at = (v) => (v - from) / (to - from);
  const ends = [low === null ? 0 : at(low), high === null ? 1 : at(high)];
  const words = low === null && high === null ? "no interval can be guaranteed"
    : `${low === null ? "anything" : number(low)} to ${high === null ? "anything" : number(high)}`;
  return scale(name, number(value), "", words,
    h("div", { class: "axis", role: "img", "aria-label": `${name}: ${number(value)}, interval ${words}; training images range from ${number(known[0])} to ${number(known[1])}` },
      h("span", { class: "axis-known", vars: { "--from": at(known[0]), "--to": at(known[1]) } }),
      h("span", { class: `axis-span ${low === null ? "open-low" : ""} ${high === null ? "open-high" : ""}`, vars: { "--from": ends[0], "--to": ends[1] } }),
      h("span", { class: "axis-value", vars: { "--from": at(value) } }),
      h("span", { class: "axis-ends soft" }, h("span", {}, number(from)), about.ends && h("span", {}, "training images, in gray"), h("span", {}, number(to)))));
}

/** An angle from the right, counter-clockwise as in mathematics, with its interval as a sector. */
export function dial(name, value, span, unit) {
  const turn = FULL[unit];
  const [low, high] = span;
  const wide = low === null || high === null;
  const degrees = (v) => (v / turn) * 360;
  const width = wide ? 360 : high - low === turn ? 360 : (degrees(high - low) + 360) % 360;
  const sign = unit === "degrees" ? "°" : " rad";
  const words = width >= 360 ? "any direction is possible" : `${number(low)}${sign} to ${number(high)}${sign}`;
  const ticks = [[0, "0"], [90, unit === "degrees" ? "90" : "π/2"], [180, unit === "degrees" ? "180" : "π"], [270, unit === "degrees" ? "270" : "3π/2"]];
  return scale(name, `${number(value)}${sign}`, "", words,
    round(`${name}: ${number(value)}${sign}, ${words}`, degrees(value), width, degrees(low ?? 0), ticks));
}

/** values: x to the right and y, upwards on the drawing; within: by how many degrees it may be off. */
export function arrow(values, within) {
  const [[first, x], [second, y]] = Object.entries(values);
  const degrees = (Math.atan2(y, x) * 180) / Math.PI;
  const words = within === null ? "any error is possible" : `within ${number(within)}°`;
  const width = within === null ? 360 : Math.min(360, 2 * within);
  return scale(`${first} and ${second}`, `${number(x)}, ${number(y)}`, "", words,
    round(`${first} ${number(x)}, ${second} ${number(y)}, ${words}`, degrees, width, degrees - width / 2, [[0, first], [90, second]]));
}

/** A circle with a hand at `degrees`, and a sector of `width` degrees from `start` on. */
function round(label, degrees, width, start, ticks) {
  const point = (angle, r) => [r * Math.cos((angle * Math.PI) / 180), -r * Math.sin((angle * Math.PI) / 180)];
  const [x0, y0] = point(start, R);
  const [x1, y1] = point(start + width, R);
  const [x, y] = point(degrees, R - 10);
  const wings = [-1, 1].map((side) => point(degrees + side * 7, R - 26));
  return s("svg", { class: "dial", viewBox: "-112 -104 224 208", role: "img", "aria-label": label },
    s("circle", { r: R, class: "rim" }),
    width >= 360
      ? s("circle", { r: R, class: "sector" })
      : s("path", { class: "sector", d: `M0 0L${x0} ${y0}A${R} ${R} 0 ${width > 180 ? 1 : 0} 0 ${x1} ${y1}Z` }),
    ticks.map(([angle, text]) => {
      const [[ax, ay], [bx, by], [tx, ty]] = [point(angle, R - 5), point(angle, R + 3), point(angle, R + 15)];
      return [s("line", { x1: ax, y1: ay, x2: bx, y2: by, class: "tick" }),
        s("text", { x: tx, y: ty + 4, "text-anchor": "middle" }, text)];
    }),
    s("line", { x1: 0, y1: 0, x2: x * 0.85, y2: y * 0.85, class: "hand" }),
    s("path", { class: "tip", d: `M${x} ${y}L${wings[0].join(" ")}L${wings[1].join(" ")}Z` }),
    s("circle", { r: 4, class: "tip" }));
}
