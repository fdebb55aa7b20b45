// Numbers and levels in words.
/** A share in percent, as in the terminal: what only rounds to all or nothing is > 99.9 % or < 0.1 %. */
export function percent(share, decimals = 1) {
  const words = (100 * share).toFixed(decimals), step = 10 ** -decimals;
  if (share > 0 && Number(words) === 0) return `< ${step.toFixed(decimals)} %`;
  if (share < 1 && Number(words) === 100) return `> ${(100 - step).toFixed(decimals)} %`;
  return `${words} %`;
}

export function number(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  return size >= 0.01 ? Number(value.toPrecision(3)).toString() : value.toExponential(1);
}

export const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "") + number(Math.abs(value));

export function large(count) {
  for (const [step, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (count >= step) return `${Number((count / step).toPrecision(3))} ${letter}`;
  }
  return String(count);
}

export function uncertainty(value) {
  if (value < 0.05) return "very low uncertainty";
  if (value < 0.25) return "low uncertainty";
  if (value < 0.6) return "high uncertainty";
  return "very high uncertainty";
}

/** With a capital, unless it begins with a name such as that of a file. */
export const sentence = (text) => (/^[a-z]+[ ,']/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text);
export const several = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
