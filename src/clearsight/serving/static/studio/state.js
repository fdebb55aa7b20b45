// The state of the page, and listeners for its changes: "image", "answer".
export const state = { card: null, image: null, answer: null };

const target = new EventTarget();
export const on = (name, listener) => target.addEventListener(name, (event) => listener(event.detail));
export const emit = (name, detail) => target.dispatchEvent(new CustomEvent(name, { detail }));
