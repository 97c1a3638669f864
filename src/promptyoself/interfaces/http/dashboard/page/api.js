// Requests with the token of this tab. The token lives in sessionStorage: other tabs and later days do not have it.

const KEY = "promptyoself-token";

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.error || `The service answered ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

/** Take a token out of the address's fragment, so that it stays in no history and no screenshot. */
export function takeToken() {
  const found = /^#token=(pys_[\w-]+)$/.exec(location.hash);
  if (found) {
    // Not in place of another: a link must not make somebody else of a person who is signed in.
    if (!sessionStorage.getItem(KEY)) sessionStorage.setItem(KEY, found[1]);
    history.replaceState(null, "", location.pathname + "#/");
  }
  return sessionStorage.getItem(KEY);
}

export function keepToken(token) { sessionStorage.setItem(KEY, token); }
export function forgetToken() { sessionStorage.removeItem(KEY); }
export function headers(more = {}) { return { Authorization: `Bearer ${sessionStorage.getItem(KEY)}`, ...more }; }

async function ask(method, path, { body, query, more } = {}) {
  const words = new URLSearchParams(Object.entries(query || {}).filter(([, value]) => value !== undefined && value !== ""));
  const options = { method, headers: headers(more), cache: "no-store" };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(path + (words.size ? `?${words}` : ""), options);
  } catch {
    throw new Refused(0, { error: "The service does not answer; is `promptyoself serve` running?" });
  }
  const document = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, document);
  return document;
}

export const get = (path, query) => ask("GET", `api/v1/${path}`, { query });
export const post = (path, body = {}, more) => ask("POST", `api/v1/${path}`, { body, more });
export const patch = (path, body, more) => ask("PATCH", `api/v1/${path}`, { body, more });
export const remove = (path) => ask("DELETE", `api/v1/${path}`);

/** How the service is: its own look at itself, else every check of `doctor`. Both may say that something is wrong. */
export async function health() {
  for (const path of ["readyz", "api/v1/doctor"]) {
    try {
      return await ask("GET", path);
    } catch (refused) {
      if (refused.status !== 404) {
        if (refused.problem && Object.keys(refused.problem).length > 1) return refused.problem;
        throw refused;
      }
    }
  }
  return {};
}

/** Every page of a list, up to `most` entries. */
export async function all(path, name, query, most = 2000) {
  const found = [];
  let cursor;
  do {
    const page = await get(path, { ...query, cursor });
    found.push(...page[name]);
    cursor = page.next_cursor || undefined;
  } while (cursor && found.length < most);
  return { found, isCut: Boolean(cursor) };
}
