// Requests to the server: the token, problems in its own words, and calls of which only the last one counts.
const KEY = "clearsight-token";

export class Problem extends Error {
  constructor(details, status) {
    super(details.detail ?? details.happened);
    Object.assign(this, { happened: details.happened ?? details.title, found: details.found, expected: details.expected, fix: details.fix });
    this.status = status;
    this.request = details.request_id;
  }
}

let unlock = async () => {};
/** Called when the server asks for a token; resolves once there is one. */
export const onLocked = (ask) => { unlock = ask; };
export const keepToken = (word) => sessionStorage.setItem(KEY, word);
export const hasToken = () => sessionStorage.getItem(KEY) !== null;

async function send(path, options) {
  const token = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  try {
    return await fetch(path, { ...options, headers });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Problem({ happened: "the server does not respond", fix: "check that it is running, then try again" }, 0);
  }
}

async function answered(path, options) {
  for (;;) {
    const used = sessionStorage.getItem(KEY);
    const found = await send(path, options);
    if (found.status === 401) {
      if (used === sessionStorage.getItem(KEY)) await unlock(used !== null);
      continue;
    }
    if (found.ok) return found;
    let details = {};
    try {
      details = await found.json();
    } catch {
      details = { happened: `the server returned status ${found.status}` };
    }
    throw new Problem(details, found.status);
  }
}

function address(path, params) {
  const given = Object.entries(params).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const query = new URLSearchParams(given.map(([key, value]) => [key, String(value)]));
  return given.length ? `${path}?${query}` : path;
}

export const read = async (path, params = {}, signal) => (await answered(address(path, params), { signal })).json();
export const page = async (path, signal) => (await answered(path, { signal })).text();

/** Ask about an image. It goes as a file with its name, by which the server calls it when it cannot be read. */
export async function ask(path, image, params = {}, signal) {
  const body = new FormData();
  body.append("image", image, image.name ?? "pasted image");
  return (await answered(address(path, params), { method: "POST", body, signal })).json();
}

export async function health() {
  try {
    return (await fetch("/health")).status === 200;
  } catch {
    return false;
  }
}

/** A function that runs asks one after the other's end was given up: only the last result arrives, the rest are null. */
export function latest() {
  let own = new AbortController();
  return async (run) => {
    own.abort();
    const mine = (own = new AbortController());
    try {
      const found = await run(mine.signal);
      return mine.signal.aborted ? null : found;
    } catch (error) {
      if (mine.signal.aborted) return null;
      throw error;
    }
  };
}
