// The pages in the folder of the run: the training report and the robustness report.
import { hasToken, page } from "./api.js";
import { segments } from "./controls.js";
import { at, h, put } from "./dom.js";
import { absent, busy, trouble } from "./say.js";
import { state } from "./state.js";

const PAGES = {
  report: ["Report", "/v1/report.html", "training and evaluation"],
  robustness: ["Robustness", "/v1/robustness/robustness.html", "accuracy on rotated, scaled and darkened images"],
};

export function reportView() {
  const root = at("report");
  const place = h("div", { class: "paper" });
  let shown = "";
  const pages = Object.entries(PAGES).filter(([name]) => !state.card.unsuited.includes(name));
  put(root,
    pages.length > 1 && h("div", { class: "controls" },
      segments("Page", pages.map(([name, [word, , title]]) => [name, word, title]), "report", open)),
    place);

  async function open(name) {
    if (shown === name) return;
    shown = name;
    const missing = state.card.left_out[name];
    if (missing) {
      absent(place, missing);
      return;
    }
    const [word, path, what] = PAGES[name];
    busy(place, "Opening the page");
    try {
      const text = await page(path);
      if (shown === name) draw(word, what, text);
    } catch (error) {
      shown = "";
      trouble(place, error, () => open(name));
    }
  }

  /** The page without its script, in an origin of its own: it can read nothing of this one. */
  function draw(word, what, text) {
    const parsed = new DOMParser().parseFromString(text, "text/html");
    for (const script of parsed.querySelectorAll("script")) script.remove();
    for (const link of parsed.querySelectorAll("a[href]:not([href^='#'])")) link.replaceWith(...link.childNodes);
    const uri = URL.createObjectURL(new Blob(["<!doctype html>", parsed.documentElement.outerHTML], { type: "text/html" }));
    const link = () => h("a", { href: PAGES[shown][1], target: "_blank", rel: "noopener" }, "Open in a new tab");
    const alone = hasToken() ? null : h("p", { class: "small" }, link()); // a link cannot carry the token
    const frame = h("iframe", { src: uri, title: `${word}: ${what}`, sandbox: "" });
    frame.addEventListener("load", () => URL.revokeObjectURL(uri), { once: true });
    put(place, frame, alone);
  }

  return { show: () => { if (!shown) open("report"); } };
}
