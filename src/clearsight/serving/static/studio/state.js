// What the page knows, and who wants to hear of a change: "image", "answer".
export const state = { card: null, image: null, answer: null };

const ears = new EventTarget();
export const on = (name, hear) => ears.addEventListener(name, (event) => hear(event.detail));
export const tell = (name, detail) => ears.dispatchEvent(new CustomEvent(name, { detail }));
