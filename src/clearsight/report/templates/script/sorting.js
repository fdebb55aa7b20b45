// Tables that sort at a click.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  if (body.rows.length < 3) continue;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    if (head.classList.contains("fixed")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const rising = head.ariaSort !== "ascending";
      const value = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
      const sorted = [...body.rows].sort((a, b) => value(a).localeCompare(value(b), undefined, { numeric: true }) * (rising ? 1 : -1));
      if (head.classList.contains("number")) sorted.sort((a, b) => (value(a) - value(b)) * (rising ? 1 : -1));
      for (const other of table.tHead.rows[0].cells) other.ariaSort = null;
      head.ariaSort = rising ? "ascending" : "descending";
      body.append(...sorted);
    });
  });
}
