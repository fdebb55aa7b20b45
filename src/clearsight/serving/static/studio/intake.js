// How an image or a sound comes in: dropped, pasted, chosen, photographed or drawn.
import { at, fresh, h, put } from "./dom.js";
import { pad } from "./draw.js";
import { say } from "./say.js";
import { emit, on, state } from "./state.js";

const SMALL = 64;

/* What browsers do not count among images, beside what they do. */
const FILES = "image/*,.avif,.dcm,.dicom,.heic,.heif,.jxl,.npy,.tif,.tiff";

export function intake() {
  const { input: { channels, height, width }, sounds } = state.card;
  const drawn = !sounds && channels === 1 && Math.max(height, width) <= SMALL;
  const touch = matchMedia("(pointer: coarse)").matches;
  put(at("actions"),
    file(`Choose ${sounds ? "a sound" : "an image"}`, { id: "choose", class: "primary", accept: sounds ? "audio/wav,.wav" : FILES }),
    ...(touch && !sounds ? [file("Take a photo", { id: "camera", accept: "image/*", capture: "environment" })] : []),
    ...(drawn ? [h("button", { type: "button", id: "draw", on: { click: () => draw() } }, "Draw one")] : []));
  if (sounds) {
    put(at("hint"), h("strong", {}, "Drop a sound here"), h("span", {}, "a WAV file"));
    at("sample").textContent = "hum.wav";
  }
  if (touch && !sounds) put(at("hint"), h("strong", {}, "Choose an image or take a photo"));
  if (drawn) at("hint").append(h("span", {}, "or draw one"));
  at("stage").style.setProperty("--ratio", `${width} / ${height}`);
  dropped();
  addEventListener("paste", (event) => take([...event.clipboardData.files][0]));
  on("answer", show);
}

function file(text, { id, accept, ...more }) {
  const input = h("input", {
    type: "file", accept, id: fresh(id), class: "hidden", ...(more.capture ? { capture: more.capture } : {}),
    on: { change: () => { take(input.files[0]); input.value = ""; } },
  });
  return h("label", { class: `button ${more.class ?? ""}`, for: input.id }, input, text);
}

function dropped() {
  let depth = 0;
  const over = (is) => document.body.classList.toggle("over", is);
  addEventListener("dragenter", (event) => { event.preventDefault(); depth += 1; over(true); });
  addEventListener("dragleave", () => { depth -= 1; over(depth > 0); });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    over(false);
    take([...event.dataTransfer.files][0]);
  });
}

/** Ask about an image from now on. */
export function take(blob, kept = false) {
  if (!blob) {
    say("No file was found");
    return;
  }
  if (!kept) preview(blob);
  document.body.classList.remove("empty", "failed");
  document.body.classList.add("asked");
  state.image = blob;
  state.answer = null;
  emit("image", blob);
}

function preview(blob) {
  document.body.classList.remove("drawing");
  const uri = URL.createObjectURL(blob);
  const image = h("img", { src: uri, alt: "the uploaded image" });
  const free = () => URL.revokeObjectURL(uri);
  image.addEventListener("load", free);
  image.addEventListener("error", () => { free(); image.remove(); }); // a kind that the server reads and the browser does not
  put(at("shown"), image);
  at("caption").textContent = "";
}

function draw() {
  document.body.classList.remove("empty");
  document.body.classList.add("drawing");
  at("caption").textContent = "";
  put(at("shown"), pad(state.card.input, (blob) => take(blob, true)));
  at("shown").querySelector("canvas").focus();
}

/** The network's own view takes the place of the preview; beside a drawing it stands small. */
function show(answer) {
  const { channels, height, width } = state.card.input;
  const small = Math.max(height, width) <= 96;
  const image = h("img", { src: answer.picture, alt: "the image as the network sees it", class: small ? "pixelated" : "" });
  const form = channels === 1 ? "gray" : channels === 3 ? "colour" : `${channels} channels`;
  const words = `as the network sees it: ${state.card.sounds ? `a spectrogram of ${width}×${height} pixels` : `${width}×${height} pixels, ${form}`}`;
  if (document.body.classList.contains("drawing")) {
    put(at("caption"), h("span", { class: "inset" }, image), words);
  } else {
    put(at("shown"), image);
    at("caption").textContent = words;
  }
}
