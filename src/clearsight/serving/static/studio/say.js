// What goes on, told to eyes and to screen readers: work under way, and what went wrong in the server's own words.
import { at, h, put } from "./dom.js";
import { sentence } from "./words.js";

export function say(text) {
  at("live").textContent = text;
}

/** A line that says what is being done, in place of what was there unless `keep`. */
export function busy(place, text) {
  say(text);
  put(place, h("p", { class: "busy" }, h("span", { class: "spin", "aria-hidden": "true" }), text));
}

const PASSING = [0, 408, 429, 500, 503]; // what may be gone at the next try

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

/** What this model or its folder does not have, and what would bring it. */
export function absent(place, text) {
  const parts = sentence(text).split(/(`[^`]+`)/).map((part) => (part.startsWith("`") ? h("code", {}, part.slice(1, -1)) : part));
  put(place, h("p", { class: "absent" }, parts));
}
