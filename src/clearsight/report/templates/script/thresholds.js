// The threshold sliders. Everything that depends on a threshold is counted again, exactly, from counts in the page.
const ratio = (a, b) => (b ? a / b : NaN);
const score = (x) => (Number.isFinite(x) ? x.toFixed(3) : "–");
const harmonic = (tp, fp, fn) => ratio(2 * tp, 2 * tp + fp + fn);

const FACTS = {
  kept: ([tp, fp], [p, n]) => [["Predictions used", `${whole(tp + fp)} of ${whole(p + n)} (${share(ratio(tp + fp, p + n))})`],
    ["Accuracy of these", share(ratio(tp, tp + fp))], ["Mistakes among these", whole(fp)],
    ["Left to a person", whole(p + n - tp - fp)], ["Correct predictions left out", whole(p - tp)]],
  found: ([tp, fp], [p, n]) => [["Precision", share(ratio(tp, tp + fp))], ["Recall (true positive rate)", share(ratio(tp, p))],
    ["F1", score(harmonic(tp, fp, p - tp))], ["False positive rate", share(ratio(fp, n))], ["Found", `${whole(tp)} of ${whole(p)}`],
    ["False alarms", `${whole(fp)} of ${whole(n)}`], ["Missed", whole(p - tp)], ["Accuracy", share(ratio(tp + n - fp, p + n))]],
  within: ([tp], [p]) => [["Within the tolerance", `${whole(tp)} of ${whole(p)} (${share(ratio(tp, p))})`],
    ["Further off", whole(p - tp)]],
};

function recount(cells, step) {
  const size = Math.max(...places) + 1, counts = Array.from({ length: size }, () => new Array(size).fill(0));
  const classes = Array.from({ length: places.length }, () => [0, 0, 0]); // images, predicted, right
  cells.labels.forEach((label, k) => {
    if (cells.bins[k] < step) return;
    const predicted = cells.predicted[k];
    counts[places[label]][places[predicted]] += 1;
    classes[label][0] += 1;
    classes[predicted][1] += 1;
    if (label === predicted) classes[label][2] += 1;
  });
  fill(counts, (k) => tests.bins[k] >= step);
  for (const row of document.querySelectorAll("table.by-class tr[data-class]")) {
    const [images, predicted, right] = classes[Number(row.dataset.class)];
    const values = { images: whole(images), recall: share(ratio(right, images)), precision: share(ratio(right, predicted)),
      f1: images ? score(harmonic(right, predicted - right, images - right)) : "–", interval: "" };
    for (const cell of row.querySelectorAll("[data-quantity]")) {
      cell.original ??= [...cell.childNodes];
      if (step === 0) cell.replaceChildren(...cell.original);
      else cell.textContent = values[cell.dataset.quantity];
      if (cell.dataset.sort) cell.dataset.sort = parseFloat(cell.textContent.replaceAll(",", "")) || -1e9;
    }
  }
}

for (const part of document.querySelectorAll(".slider")) {
  const data = read(part.dataset.from), [range, names] = [part.querySelector("input"), part.querySelector("select")];
  const [facts, output] = [part.querySelector("dl"), part.querySelector("output")];
  const notes = document.querySelectorAll(".threshold-note");
  const show = () => {
    const counts = data.counts[Number(names?.value ?? 0)], step = Number(range.value), at = counts.thresholds[step];
    const words = data.percent ? `${Number((100 * at).toFixed(2))} %` : String(Number(at.toPrecision(3)));
    output.textContent = words;
    range.ariaValueText = words;
    facts.replaceChildren(...FACTS[data.kind]([counts.positives[step], counts.negatives[step]], counts.totals).map(([name, value]) => {
      const fact = element("div");
      fact.append(element("dt", "", name), element("dd", "", value));
      return fact;
    }));
    if (data.cells && table) {
      recount(data.cells, step);
      for (const note of notes) {
        note.hidden = step === 0;
        note.textContent = `Counted for predictions with a confidence of at least ${words} only: the threshold slider is set.`;
      }
    }
  };
  const start = () => {
    const counts = data.counts[Number(names?.value ?? 0)];
    range.max = counts.thresholds.length - 1;
    range.value = counts.start;
    show();
  };
  range.addEventListener("input", show);
  names?.addEventListener("change", start);
  part.querySelector("button").addEventListener("click", start);
  part.hidden = false;
  start();
}
