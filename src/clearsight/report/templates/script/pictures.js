// Test images: cut from their sheets, with a caption each.
const element = (tag, name, text) => {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
};
const read = (ident) => JSON.parse(document.getElementById(ident)?.textContent ?? "null");
const whole = (n) => n.toLocaleString("en");
const share = (x) => (Number.isFinite(x) ? `${(100 * x).toFixed(1)} %` : "–");
const chance = (p) => (p < 0.0005 ? "< 0.1 %" : p > 0.9995 ? "> 99.9 %" : share(p));
const tests = read("test-images-data");
const sheets = new Map();

function sheet(number) {
  if (!sheets.has(number)) {
    const image = new Image();
    image.src = tests.sheets[number];
    sheets.set(number, image.decode().then(() => image));
  }
  return sheets.get(number);
}

function picture(i) {
  const [width, height] = tests.sizes[i], canvas = element("canvas", tests.side <= 48 ? "pixelated" : "");
  [canvas.width, canvas.height] = [width, height];
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", tests.names[i]);
  const place = i % tests.onSheet, { side, columns } = tests;
  sheet(Math.floor(i / tests.onSheet)).then((image) => canvas.getContext("2d").drawImage(
    image, (place % columns) * side, Math.floor(place / columns) * side, width, height, 0, 0, width, height));
  return canvas;
}

function card(i) {
  const item = element("li", tests.wrong[i] ? "wrong-one" : ""), frame = element("div", "frame");
  frame.append(picture(i));
  item.append(frame);
  for (const [small, code] of [["predicted", tests.predicted[i]], [tests.truth, tests.labels[i]]]) {
    const line = element("p");
    line.append(element("span", "aside", small), " ", element("strong", "", tests.texts[code]));
    item.append(line);
  }
  item.append(element("p", "aside", tests.notes[i]));
  if (tests.shares.length) {
    const words = tests.shares[i].map(([code, p]) => `${tests.texts[code]}: ${chance(p)}`);
    item.append(element("p", "aside likeliest", words.join(", ")));
  }
  item.append(element("p", "file", tests.names[i]));
  return item;
}
