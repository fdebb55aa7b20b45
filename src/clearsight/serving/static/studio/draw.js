// A pad to draw a small gray image on, by pen, finger or keys. Each finished stroke is an image to ask about.
import { h } from "./dom.js";
import { segments } from "./controls.js";
import { say } from "./say.js";

const SIDE = 280;
const CELLS = 20; // steps of the keyboard's pen along a side

export function pad({ height, width }, give) {
  const canvas = h("canvas", {
    width: SIDE, height: Math.round((SIDE * height) / width), tabindex: "0", role: "img",
    "aria-label": "Drawing pad. Draw with a pen or finger, or use the keyboard: the arrow keys move the pen, Space lowers or lifts it, and Delete clears the pad.",
  });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const ink = { light: true, dark: false };
  const thick = Math.max(0.08, 1.15 / width) * canvas.width;
  let strokes = [];
  let cursor = null;
  let down = false;

  const colours = () => (ink.light ? ["#000", "#fff"] : ["#fff", "#000"]);
  function paint(marks = true) {
    const [paper, line] = colours();
    pen.fillStyle = paper;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    Object.assign(pen, { strokeStyle: line, lineWidth: thick, lineCap: "round", lineJoin: "round" });
    for (const points of strokes) {
      pen.beginPath();
      pen.moveTo(...points[0]);
      for (const point of points.length > 1 ? points.slice(1) : points) pen.lineTo(...point);
      pen.stroke();
    }
    if (marks && cursor) {
      Object.assign(pen, { strokeStyle: down ? "#f2a65a" : "#74b9f0", lineWidth: 3 });
      pen.beginPath();
      pen.arc(...cursor, thick / 2 + 2, 0, 7);
      pen.stroke();
    }
  }
  function finish() {
    paint(false);
    if (strokes.length) canvas.toBlob((blob) => give(new File([blob], "drawing.png", { type: "image/png" })), "image/png");
    setTimeout(paint);
  }
  function clear() {
    strokes = [];
    down = false;
    paint();
    say("The pad is empty");
  }

  const place = (event) => {
    const edge = canvas.getBoundingClientRect();
    return [((event.clientX - edge.left) / edge.width) * canvas.width, ((event.clientY - edge.top) / edge.height) * canvas.height];
  };
  let held = false;
  canvas.addEventListener("pointerdown", (event) => {
    held = true;
    cursor = null;
    canvas.setPointerCapture(event.pointerId);
    strokes.push([place(event)]);
    paint();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!held) return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) strokes.at(-1).push(place(part));
    paint();
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, () => { if (held) { held = false; finish(); } });
  }
  canvas.addEventListener("keydown", (event) => {
    const step = canvas.width / CELLS;
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (move) {
      cursor ??= [canvas.width / 2, canvas.height / 4];
      const within = (value, most) => Math.max(0, Math.min(most, value));
      cursor = [within(cursor[0] + move[0], canvas.width), within(cursor[1] + move[1], canvas.height)];
      if (down) strokes.at(-1).push(cursor);
      paint();
    } else if (event.key === " ") {
      cursor ??= [canvas.width / 2, canvas.height / 4];
      down = !down;
      if (down) strokes.push([cursor]);
      paint();
      say(down ? "The pen is down" : "The pen is up");
      if (!down) finish();
    } else if (event.key === "Delete" || event.key === "Backspace") {
      clear();
    } else {
      return;
    }
    event.preventDefault();
  });
  paint();
  return h("div", { class: "pad" }, canvas,
    h("div", { class: "pad-tools" },
      segments("Ink", [["light", "light on dark"], ["dark", "dark on light"]], "light", (value) => {
        ink.light = value === "light";
        finish();
      }),
      h("button", { type: "button", on: { click: clear } }, "Clear")));
}
