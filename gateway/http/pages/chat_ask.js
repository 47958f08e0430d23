/* One question to the server, and its answer as it comes. Reads streams, touches no element.

   `answer(asked, signal)` gives pieces, each with one of: `waiting` (why there is nothing yet, for people), `thinking`
   and `text` (what comes next of them), and last `end`: {facts, status}, both for people. It throws what page.js
   throws, and an Error with the server's words if the answer breaks off: what came until then is not the answer.
*/

import { ask, decimal, events, visible } from "./page.js";

const STEP_MAX_CHARS = 200;
const BROKEN = "the connection ended before the answer was complete";
const REASONS = { queued: "waiting for a free place", loading: "the model is loading", memory: "memory is short",
  starting: "the model is starting", backoff: "the model crashed and is started again",
  "handed on": "handed on to another server" };

/* `asked`: {victoria, model, messages, session, priority, temperature}; temperature NaN: the model's own. */
export async function* answer(asked, signal) {
  const began = performance.now();
  let first = 0;
  const pieces = asked.victoria ? answerOfVictoria(asked, signal) : answerOfModel(asked, signal);
  for await (const piece of pieces) {
    if (!first && (piece.text || piece.thinking)) first = performance.now();
    if (piece.end && first) piece.end.facts.push(`first word after ${timeText(first - began)}`);
    yield piece;
    if (piece.end) return;
  }
  throw new Error(BROKEN);
}

const timeText = (ms) => ms < 1000 ? `${Math.round(ms)} ms` : `${decimal(ms / 1000)} s`;

function post(path, signal, asked, body) {
  return ask(path, { signal, body, headers: {
    "X-Request-Priority": asked.priority, "X-Warden-Kind": "chat", "X-Warden-Progress": "1" } });
}

/* Where a request stands, for people. */
export function waitingText({ reason, detail, queue_position: position, estimate_s, load_progress }) {
  if (reason === undefined) return "Waiting ...";
  const why = REASONS[reason] || visible(reason);
  const loaded = reason === "loading" && load_progress > 0 ? ` (${Math.round(load_progress * 100)} %)` : "";
  const more = detail && reason !== "queued" ? `, ${visible(detail).slice(0, STEP_MAX_CHARS)}` : "";
  const place = position ? `position ${position}, ` : "";
  return `Waiting: ${place}${why}${loaded}${more}, about ${Math.ceil(estimate_s)} s`;
}

async function* answerOfModel(asked, signal) {
  const { model, messages, temperature } = asked;
  const options = Number.isNaN(temperature) ? {} : { temperature };
  const response = await post("/api/chat", signal, asked, { model, messages, options, stream: true });
  const route = routeOf(response.headers);
  let begun = false;
  for await (const part of events(response.body)) {
    if (part.error) throw new Error(part.error);
    if (part.route) Object.assign(route, { by: part.route, reason: part.route_reason });
    const { content: text = "", thinking = "" } = part.message || {};
    if (text || thinking) {
      begun = true;
      yield { text, thinking };
    }
    if (part.done) yield { end: endOf(part, model, route) };
    else if (!begun) yield { waiting: route.by && part.reason === undefined ? READING : waitingText(part) };
  }
}
const READING = "The model reads the question ...";

const routeOf = (headers) => ({ by: headers.get("X-Warden-Route") || "", reason: headers.get("X-Warden-Reason") || "",
  model: headers.get("X-Warden-Model") || "", priority: headers.get("X-Warden-Priority") || "" });

function endOf(part, model, route) {
  const seconds = part.eval_duration / 1e9;
  const count = `${part.eval_count} token${part.eval_count === 1 ? "" : "s"}`;
  const rate = seconds > 0 ? [`${decimal(part.eval_count / seconds)} tokens/s`] : [];
  const cut = part.done_reason === "length" ? ["cut at its limit"] : [];
  const facts = [visible(route.model || model), count, ...rate, ...cut, ...routeText(route)];
  return { facts, status: [count, ...rate, ...cut].join(", ") };
}

const routeText = ({ by, reason, priority }) => [
  ...(by ? [`by ${visible(by)}${reason ? ` (${visible(reason)})` : ""}`] : []),
  ...(priority ? [`priority ${visible(priority)}`] : [])];

async function* answerOfVictoria(asked, signal) {
  const { messages, model, session } = asked;
  const response = await post("/chat/stream", signal, asked, { content: messages.at(-1).content,
    chat_history: messages.slice(0, -1), use_victoria: true, model, session_id: session });
  const { priority } = routeOf(response.headers);
  let begun = false;
  for await (const part of events(response.body)) {
    if (part.type === "error") throw new Error(part.content);
    if (part.type === "chunk") {
      begun = true;
      yield { text: part.content };
    } else if (part.type === "end") {
      yield { end: endOfVictoria(part, priority) };
    } else if (part.content && !begun) {
      yield { waiting: part.position === undefined ? visible(part.content).slice(0, STEP_MAX_CHARS)
        : waitingText({ ...part, reason: part.content, queue_position: part.position }) };
    }
  }
}

function endOfVictoria(part, priority) {
  const who = part.backend === "victoria" ? "Victoria" : visible(part.model);
  const why = part.reason ? ` (Victoria: ${visible(part.reason)})` : "";
  const cut = part.finish_reason === "length" ? ["cut at its limit"] : [];
  const route = routeText({ by: part.route, reason: part.reason, priority });
  return { facts: [who, ...cut, ...route], status: `Answered by ${who}${why}` };
}
