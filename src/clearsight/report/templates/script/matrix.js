// The confusion matrix: its cells open their images, and it can be counted again for fewer predictions.
const table = document.querySelector("table.matrix");
const places = table?.dataset.places.split(" ").map(Number) ?? [];
const cellsOf = () => [...table.querySelectorAll("td[data-cell]")].map((cell) => [cell, ...cell.dataset.cell.split(" ").map(Number)]);

function openable(cell, count, title, matches) {
  const button = element("button", "opens", whole(count));
  button.type = "button";
  button.title = button.ariaLabel = `${title}: ${whole(count)}`;
  button.addEventListener("click", () => open(title, count, tests.names.map((_, i) => i).filter(matches)));
  cell.removeAttribute("title");
  cell.replaceChildren(button);
}

function fill(counts, keeps) {
  const names = [...table.tHead.rows[0].querySelectorAll("th[title]")].map((head) => head.title);
  const totals = counts.map((row) => row.reduce((a, b) => a + b, 0));
  for (const [cell, i, j] of cellsOf()) {
    const n = counts[i][j];
    cell.className = cell.className.replace(/\bs\d\b/, `s${n ? Math.ceil(8 * Math.sqrt(n / totals[i])) : 0}`);
    if (n) openable(cell, n, `Labelled ${names[i]}, predicted as ${names[j]}`,
      (k) => places[tests.cells[k][0]] === i && places[tests.cells[k][1]] === j && keeps(k));
    else cell.textContent = "0";
  }
  [...table.tBodies[0].rows].forEach((row, i) => { row.querySelector(".total").textContent = whole(totals[i]); });
}

if (table && tests?.cells.length) {
  const counts = [];
  for (const [cell, i, j] of cellsOf()) (counts[i] ??= [])[j] = Number(cell.textContent.replaceAll(",", ""));
  fill(counts, () => true);
  for (const item of document.querySelectorAll("li[data-pair]")) {
    const [label, predicted] = item.dataset.pair.split(" ").map(Number), total = Number(item.dataset.images);
    const button = element("button", "link");
    button.type = "button";
    button.append(...item.querySelectorAll("strong, .as"));
    const title = `Labelled ${item.dataset.label}, predicted as ${item.dataset.predicted}`;
    button.addEventListener("click", () => open(title, total, tests.names.map((_, i) => i).filter(
      (i) => tests.cells[i][0] === label && tests.cells[i][1] === predicted)));
    item.prepend(button, " ");
  }
}
