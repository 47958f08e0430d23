/* What both pages need: asking the server with the key, reading its streams, and making elements out of plain text.

   Text of models, of the journal and of the server becomes a text node always; nothing here reads markup. `make`
   refuses attributes that would run something. Paths are below the page's own server, also behind a proxy with a
   prefix. */

const ROOT = new URL("..", import.meta.url); // this file is ROOT/pages/page.js
const KEY_NAME = "key"; // in the session's storage: forgotten with the tab
const ERROR_MAX_CHARS = 600;
const LINE_MAX_CHARS = 16_000_000; // of one line of a stream
const UNREACHABLE = "The server cannot be reached; is `warden up` running?";
const SVG = "http://www.w3.org/2000/svg";
const RUNS = /^(on.*|style|srcdoc|src|formaction|action)$/i;
const SAFE_LINK = /^(https?:|mailto:|[^:]*$)/i;
const KIB = 1024;

/* ---- the key */

export function readKey() {
  try { return sessionStorage.getItem(KEY_NAME) || ""; } catch { return ""; } // storage may be switched off
}

export function keepKey(value) {
  try { sessionStorage.setItem(KEY_NAME, value); } catch { /* then it lasts as long as the field */ }
}

/* Ties an `<input type="password" hidden>` to the key: `show()` when a key is asked for, `entered()` runs after a new
   one was typed. The field's own value counts, so it works where storage does not. */
let field = null;

export function bindKeyField(input, entered) {
  field = input;
  input.value = readKey();
  input.addEventListener("change", () => {
    keepKey(input.value.trim());
    entered(input.value.trim());
  });
}

export function askForKey() {
  if (!field) return;
  const wasHidden = field.hidden;
  field.hidden = false;
  if (wasHidden) field.focus();
}

const keyNow = () => (field ? field.value.trim() : readKey());

/* ---- asking */

export class Refused extends Error { // `status` of HTTP; `after_s` 0: the server does not say when to ask again
  constructor(message, status, after_s) {
    super(message);
    this.status = status;
    this.after_s = after_s;
  }
}

export class Unreachable extends Error {
  constructor() { super(UNREACHABLE); }
}

async function refusalOf(response) {
  if (response.status === 401) {
    askForKey();
    return new Refused(keyNow() ? "This API key is not known here: enter another one" : "Enter an API key", 401, 0);
  }
  const body = await response.text();
  let message = body.slice(0, ERROR_MAX_CHARS);
  try {
    const { error } = JSON.parse(body);
    message = (error && error.message) || error || message; // OpenAI's shape, Ollama's, anything else
  } catch { /* not JSON: shown as it is */ }
  const after_s = Number(response.headers.get("Retry-After")) || 0;
  const when = after_s ? ` - try again in ${after_s} s` : "";
  return new Refused(`${message || response.statusText} (${response.status})${when}`, response.status, after_s);
}

/* The response of a good answer. `path` begins with "/"; a `body` that is no string is sent as JSON.
   Throws Refused, Unreachable, or AbortError of `signal`. After a 401 the key field is shown. */
export async function ask(path, { method, body, headers = {}, signal } = {}) {
  const key = keyNow();
  const sent = { ...(key ? { Authorization: `Bearer ${key}` } : {}), ...headers };
  if (body !== undefined) sent["Content-Type"] ||= "application/json";
  let response;
  try {
    response = await fetch(new URL(`.${path}`, ROOT), {
      method: method || (body === undefined ? "GET" : "POST"), headers: sent, signal, credentials: "same-origin",
      body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
    });
  } catch (error) {
    throw brokenOff(error);
  }
  if (!response.ok) throw await refusalOf(response);
  return response;
}

// Browsers have no other name for a broken connection than TypeError, and each its own words.
const brokenOff = (error) => (error instanceof TypeError ? new Unreachable() : error);

export const wordsOf = (error) => (error instanceof TypeError ? UNREACHABLE : error.message);

/* The JSON values of a stream, NDJSON or server-sent events (comments and `[DONE]` are passed over), as they come.
   `stream` is `response.body`. Leaving the loop early ends the request. Throws Unreachable when it breaks off. */
export async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      if (rest.length > LINE_MAX_CHARS) throw new Error("the server sends a line without end");
      for (const line of lines) yield* valueOf(line);
    }
    yield* valueOf(rest);
  } catch (error) {
    throw brokenOff(error);
  } finally {
    reader.cancel().catch(() => {}); // it may have broken off already
  }
}

function* valueOf(line) {
  const isEvent = line.startsWith("data:");
  const text = (isEvent ? line.slice(5) : line).trim();
  if (isEvent ? text && text !== "[DONE]" : text.startsWith("{")) yield JSON.parse(text);
}

/* ---- elements */

export const at = (id) => document.getElementById(id);

/* make("p", { class: "dim", title: why }, "text", element, ...): strings become text nodes. An attribute that is null,
   undefined or false is left out, true is an empty one. Throws for attributes that could run or load something. */
export const make = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const draw = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) setAttribute(element, name, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/* Changes only what differs, so that a second without news changes nothing on the page. */
export function setAttribute(element, name, value) {
  if (RUNS.test(name) || (name === "href" && !SAFE_LINK.test(String(value).trim()))) {
    throw new Error(`the attribute ${name} is not set here`);
  }
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else {
    const text = value === true ? "" : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

export function setText(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/* Names and reasons as they are written: control characters and those that turn the direction of a text show as their
   number instead of doing what they do. Not for answers of models, which may be in any script. */
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

export const visible = (text) => String(text).replace(UNSEEN, (character) =>
  `\u27e8U+${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`);

/* ---- numbers */

export function bytes(count) { // as `size_text` of control/overview.py writes it: "-" for 0, which is "not known"
  if (!count) return "-";
  return count < KIB ** 3 ? `${Math.round(count / KIB ** 2)} MiB` : `${(count / KIB ** 3).toFixed(1)} GiB`;
}

export const percent = (value) => (value === null || value === undefined ? "-" : `${Number(value.toFixed(1))} %`);

export function decimal(value) { // three figures are enough for a glance
  if (value === null || value === undefined) return "-";
  return value >= 100 || Number.isInteger(value) ? Math.round(value).toLocaleString("en") : value.toFixed(1);
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "-";
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}

export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });
