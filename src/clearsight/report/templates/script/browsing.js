// All test images: filtered, sorted, some at a time.
const form = document.getElementById("browse");
if (form && tests) {
  const PAGE = 24, list = document.getElementById("browsed"), status = document.getElementById("browse-status");
  const more = document.getElementById("browse-more"), all = tests.names.map((_, i) => i);
  const text = all.map((i) => [tests.names[i], tests.texts[tests.labels[i]], tests.texts[tests.predicted[i]],
    tests.notes[i]].join(" ").toLowerCase());
  let found = all, shown = 0;
  const extend = () => {
    const next = found.slice(shown, shown + PAGE);
    list.append(...next.map(card));
    shown += next.length;
    more.hidden = shown >= found.length;
    status.textContent = found.length ? `${whole(shown)} of ${whole(found.length)} matching images shown` : "No image matches.";
  };
  const value = (name) => form.elements[name]?.value ?? "";
  const filter = () => {
    const words = value("search").trim().toLowerCase();
    found = all.filter((i) => (value("kind") === "" || tests.wrong[i] === Number(value("kind"))) &&
      (value("label") === "" || tests.cells[i][0] === Number(value("label"))) &&
      (value("prediction") === "" || tests.cells[i][1] === Number(value("prediction"))) && text[i].includes(words));
    if (value("order") === "name") found.sort((a, b) => tests.names[a].localeCompare(tests.names[b], "en", { numeric: true }));
    if (value("order") === "last") found.reverse();
    shown = 0;
    list.replaceChildren();
    extend();
  };
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => {
    const first = shown;
    extend();
    list.children[first]?.querySelector("strong")?.scrollIntoView({ block: "nearest" });
  });
  filter();
}
