// Puts the page together: waits for the server, reads the model's card, and hands each part its place.
import { answerView } from "./answer.js";
import { hasToken, health, read } from "./api.js";
import { alikeView } from "./alike.js";
import { attackView } from "./attack.js";
import { at, h, put } from "./dom.js";
import { driftView } from "./drift.js";
import { heatmapView } from "./heatmap.js";
import { intake } from "./intake.js";
import { kind } from "./kinds.js";
import { lock } from "./lock.js";
import { networkView } from "./network.js";
import { reportView } from "./report.js";
import { busy, say, trouble } from "./say.js";
import { state } from "./state.js";
import { tabs } from "./tabs.js";
import { sentence } from "./words.js";

const wait = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

async function begin() {
  at("origin").textContent = location.origin;
  lock(() => put(at("caption"), "This server requires a token."));
  busy(at("caption"), "The server is starting");
  while (!(await health())) await wait(0.3);
  busy(at("caption"), "Loading the model's description");
  try {
    state.card = await read("/v1/model");
  } catch (error) {
    trouble(at("caption"), error, begin);
    return;
  }
  put(at("caption"));
  at("bearer").hidden = !hasToken();
  about(state.card);
  driftView();
  intake();
  answerView();
  const parts = [
    ["heatmap", "Heatmap", heatmapView], ["alike", "Similar", alikeView], ["attack", "Attack", attackView],
    ["network", "Network", networkView], ["report", "Report", reportView],
  ];
  const { unsuited } = state.card;
  for (const id of unsuited) at(id)?.remove();
  tabs(parts.filter(([id]) => !unsuited.includes(id)).map(([id, word, view]) => [id, word, view()]));
  document.body.classList.add("ready");
  say("Ready for an image");
}

function about(card) {
  const { width, height, channels } = card.input;
  at("name").textContent = card.name;
  document.title = `${card.name}: Clearsight studio`;
  const [what, score] = kind().facts(card);
  const facts = [card.network, what, `${width}×${height} ${card.sounds ? "spectrograms" : channels === 1 ? "gray" : channels === 3 ? "colour" : `${channels} channels`}`, score].filter(Boolean);
  panel(card);
  put(at("about"), ...facts.flatMap((fact, i) => (i ? [h("span", { "aria-hidden": "true" }, " · "), fact] : [fact])));
}

/** What the model promises, and whether its test images show that it keeps it. */
function panel(card) {
  const found = card.scores.panel;
  if (!found) return;
  const entries = found.entries.map((entry) => h("li", {},
    h("strong", {}, `${entry.title}: ${entry.status}. `), `${entry.words}; required: ${entry.required}.`,
    entry.why && h("span", {}, " ", sentence(entry.why), "."),
    entry.action && h("span", {}, " ", sentence(entry.action.replaceAll("`", "")), ".")));
  put(at("panel"), h("summary", {}, `Trust panel: ${found.headline}`), h("ul", {}, entries));
  at("panel").hidden = false;
}

begin();
