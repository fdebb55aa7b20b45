// Controls that several views use: a row of choices, a slider with its value, a list to choose from.
import { fresh, h } from "./dom.js";

/** Radio buttons that look like one bar. choices: [value, text] pairs. */
export function segments(legend, choices, chosen, change) {
  const name = fresh("choice");
  return h("fieldset", { class: "segments" },
    h("legend", {}, legend),
    h("div", {}, choices.map(([value, text, title]) => {
      const id = fresh(name);
      const input = h("input", { type: "radio", id, name, value, on: { change: () => change(value) } });
      input.checked = value === chosen;
      return [input, h("label", { for: id, title }, text)];
    })));
}

/** A slider; shown turns its position into text. */
export function slider(label, range, shown, change) {
  const id = fresh("slider");
  const output = h("output", { for: id }, shown(range.value));
  const input = h("input", {
    type: "range", id, min: range.min, max: range.max, step: range.step, value: range.value,
    on: { input: () => { refresh(); change(Number(input.value)); } },
  });
  const refresh = () => {
    output.textContent = shown(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
    input.style.setProperty("--at", (input.value - range.min) / (range.max - range.min));
  };
  refresh();
  return { element: h("div", { class: "slider" }, h("label", { for: id }, label), output, input), input, refresh };
}

export function choice(label, options, chosen, change) {
  const id = fresh("select");
  const select = h("select", { id, on: { change: () => change(select.value) } },
    options.map(([value, text]) => h("option", { value }, text)));
  select.value = chosen;
  return h("div", { class: "choice" }, h("label", { for: id }, label), select);
}

/** Arrow keys move among the elements of a place that match; only one of them is a stop of the Tab key. columns: how many
 * stand in a row. */
export function roving(place, match, columns = () => 1) {
  const all = () => [...place.querySelectorAll(match)];
  const stop = (element) => {
    for (const other of all()) other.tabIndex = other === element ? 0 : -1;
  };
  place.addEventListener("focusin", (event) => {
    const element = event.target.closest(match);
    if (element) stop(element);
  });
  place.addEventListener("keydown", (event) => {
    const list = all();
    const here = list.indexOf(event.target.closest(match));
    const steps = { ArrowDown: columns(), ArrowUp: -columns(), ArrowRight: 1, ArrowLeft: -1 };
    let next = here + (steps[event.key] ?? 0);
    if (event.key === "Home") next = 0;
    if (event.key === "End") next = list.length - 1;
    if (here < 0 || next === here || !list[next]) return;
    event.preventDefault();
    list[next].focus();
  });
  return () => {
    const list = all();
    const current = list.find((element) => element.hasAttribute("aria-current")) ?? list[0];
    if (current) stop(current);
  };
}
