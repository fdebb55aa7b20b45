// The dialog that shows the images of one confusion.
const dialog = document.getElementById("opened");

function open(title, total, some) {
  const list = element("ul", "gallery");
  list.append(...some.map(card));
  const missing = total - some.length;
  const words = `${whole(total)} ${total === 1 ? "image" : "images"}.` +
    (missing > 0 ? ` ${whole(some.length)} shown here; predictions.csv lists all of them.` : "");
  dialog.querySelector("h2").textContent = title;
  dialog.querySelector(".content").replaceChildren(element("p", "how", words), list);
  dialog.showModal();
  dialog.querySelector(".content").scrollTop = 0;
}

if (dialog) {
  dialog.querySelector("button").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}
