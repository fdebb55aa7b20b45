// Messages, on the page and for screen readers: work in progress, and errors in the words of the server.
import { at, h, put } from "./dom.js";
import { sentence } from "./words.js";

export function say(text) {
  at("live").textContent = text;
}

/** Replace the content of an element by a line on the work in progress. */
export function busy(place, text) {
  say(text);
  put(place, h("p", { class: "busy" }, h("span", { class: "spin", "aria-hidden": "true" }), text));
}

const PASSING = [0, 408, 429, 500, 503]; // errors that may not occur again

export function trouble(place, error, again) {
  if (!error.happened) throw error;
  const rows = [["found", error.found], ["expected", error.expected]].filter(([, text]) => text);
  say(error.message);
  put(place,
    h("div", { class: "trouble", role: "group", "aria-label": "What went wrong" },
      h("p", { class: "happened" }, sentence(error.happened), "."),
      rows.length > 0 && h("dl", {}, rows.map(([name, text]) => [h("dt", {}, name), h("dd", {}, text)])),
      error.fix && h("p", { class: "fix" }, sentence(error.fix), /[.?!]$/.test(error.fix) ? "" : "."),
      again && PASSING.includes(error.status) && h("button", { type: "button", on: { click: again } }, "Try again")));
}

/** What the model or its folder lacks, and the command that adds it. */
export function absent(place, text) {
  const parts = sentence(text).split(/(`[^`]+`)/).map((part) => (part.startsWith("`") ? h("code", {}, part.slice(1, -1)) : part));
  put(place, h("p", { class: "absent" }, parts));
}
