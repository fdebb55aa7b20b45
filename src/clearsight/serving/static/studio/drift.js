// Whether this week's images have drifted from the validation images, read again each minute.
import { read } from "./api.js";
import { at, h, put } from "./dom.js";

const SECONDS = 60;

const shown = (number) => (number === null ? "none" : number.toPrecision(3));

function line(signal) {
  const means = `mean ${shown(signal.mean)}, of validation images ${shown(signal.validation_mean)}`;
  return h("li", {}, h("strong", {}, `${signal.words}: ${signal.alarm ? "drift" : "no drift"}. `), `${means}.`);
}

async function refresh() {
  const { signals, false_alarms_per_week: rate } = await read("/v1/drift");
  if (!signals.length || !signals[0].images) return;
  const drifted = signals.filter((signal) => signal.alarm).map((signal) => signal.words);
  const images = `${signals[0].images.toLocaleString("en")} image${signals[0].images === 1 ? "" : "s"} this week`;
  const open = at("drift").open;
  put(at("drift"),
    h("summary", {}, drifted.length ? `Drift detected: ${drifted.join(", ")} (${images})` : `No drift detected (${images})`),
    h("ul", {}, signals.map(line)),
    h("p", { class: "small" }, `Probability of a false alarm in a week: at most ${rate}.`));
  at("drift").classList.toggle("warning", drifted.length > 0);
  at("drift").open = open;
  at("drift").hidden = false;
}

/** Show the state of the monitoring, where there is one. */
export function driftView() {
  const again = () => refresh().catch(() => {}).finally(() => setTimeout(again, 1000 * SECONDS));
  again();
}
