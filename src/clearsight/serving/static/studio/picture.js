// An image as the network sees it, small ones pixel by pixel, with boxes drawn over it in the image's own pixels.
import { h } from "./dom.js";

const PIXEL_ART = 96;

export function picture(uri, alt, [height, width]) {
  const image = h("img", { src: uri, alt, class: Math.max(height, width) <= PIXEL_ART ? "pixelated" : "" });
  return h("div", { class: "picture", vars: { "--ratio": `${width} / ${height}` } }, image);
}

/** The part of a picture within a box [top, left, bottom, right], enlarged; what lies beyond the picture stays empty. */
export function enlarged(uri, alt, [top, left, bottom, right], [height, width]) {
  const [h1, w1] = [bottom - top, right - left];
  const image = h("img", {
    src: uri, alt, class: Math.max(h1, w1) <= PIXEL_ART ? "pixelated" : "",
    vars: { "--w": width / w1, "--h": height / h1, "--l": -left / w1, "--t": -top / h1 },
  });
  return h("div", { class: "picture part", vars: { "--ratio": `${w1} / ${h1}` } }, image);
}

/** Draw a box [top, left, bottom, right] over a picture of so many pixels, cut at its edge where it reaches beyond. */
export function box(place, kind, [top, left, bottom, right], [height, width]) {
  place.querySelector(`.box.${kind}`)?.remove();
  const cut = (value, most) => Math.max(0, Math.min(most, value));
  const [t, l, b, r] = [cut(top, height), cut(left, width), cut(bottom, height), cut(right, width)];
  const beyond = [["t", top < 0], ["l", left < 0], ["b", bottom > height], ["r", right > width]];
  place.append(h("span", {
    class: `box ${kind} ${beyond.filter(([, is]) => is).map(([side]) => `beyond-${side}`).join(" ")}`,
    "aria-hidden": "true",
    vars: {
      "--t": t / height, "--l": l / width, "--h": Math.max(0, b - t) / height, "--w": Math.max(0, r - l) / width,
    },
  }));
}
