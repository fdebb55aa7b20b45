// Elements in one call: h("p", { class: "soft" }, "text", child).
const SVG = "http://www.w3.org/2000/svg";

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [kind, does] of Object.entries(value)) element.addEventListener(kind, does);
    else if (name === "vars") for (const [key, set] of Object.entries(value)) element.style.setProperty(key, set);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...real(children));
  return element;
}

const real = (children) => children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

/** Fill a place anew; null and false stand for nothing, as in `h`. */
export const put = (place, ...children) => place.replaceChildren(...real(children));

export const h = (tag, props = {}, ...children) => fill(document.createElement(tag), props, children);
export const s = (tag, props = {}, ...children) => fill(document.createElementNS(SVG, tag), props, children);
export const at = (id) => document.getElementById(id);

let made = 0;
export const fresh = (word) => `${word}-${++made}`;
