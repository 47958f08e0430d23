/* The dashboard's connection: it listens to /dashboard/events, keeps the last hour, and has the parts drawn.

   A reading comes every second. When none comes for SILENT_MS, or the stream breaks off, what is shown stays, greyed
   and with its time, and is asked for again: at once, then after 1, 2, 4 ... RETRY_MAX_MS. Without a key that opens
   it, it waits for one. While nobody sees the page nothing is drawn. */

import { ask, at, bindKeyField, clock, events, make, setText, visible, wordsOf } from "./page.js";
import { Past } from "./dashboard_past.js";
import { Decisions } from "./dashboard_decisions.js";
import { Models } from "./dashboard_models.js";
import { drawMachine, drawMemory, drawQueue, drawRelays } from "./dashboard_parts.js";
import { Tiles } from "./dashboard_tiles.js";

const SILENT_MS = 5000, RETRY_FIRST_MS = 1000, RETRY_MAX_MS = 15_000, TICK_MS = 250;
const LIVE = ["live", "good"], WAITS = ["connecting", ""];

const past = new Past();
const tiles = new Tiles(at("tiles"));
const models = new Models(at("models"));
const decisions = new Decisions(at("decisions"));
let reading = null; // the newest
let limits = null;
let listening = null; // AbortController of the stream
let heardAt = 0;
let retryAt = 0; // 0: not before a key is entered
let failures = 0;

const spanSeconds = () => Number(document.querySelector("#span input:checked").value);

/* ---- the stream */

async function listen() {
  const mine = new AbortController();
  if (listening) listening.abort();
  listening = mine;
  retryAt = 0;
  heardAt = Date.now();
  try {
    const response = await ask("/dashboard/events", { signal: mine.signal });
    for await (const event of events(response.body)) {
      if (listening !== mine) return;
      take(event);
    }
    if (listening === mine) lost("the server has ended the stream", true);
  } catch (error) {
    if (listening === mine) refused(error);
  }
}

function take(event) {
  heardAt = Date.now();
  failures = 0;
  if (event.history) {
    limits = event.limits;
    past.begin(event.history);
    decisions.begin(event.decisions);
    setText(at("about-us"), `mlx-warden ${event.version}`);
  } else {
    past.add(event.sample, event.models);
    decisions.add(event.decisions);
  }
  // without a table nobody knows of models: the last that were known stay
  reading = { ...event, models: event.models || (reading && reading.models) || [],
    relays: event.relays || (reading && reading.relays) || [] };
  for (const part of ["models", "relays"]) at(part).classList.toggle("old", !event[part]);
  sayLive(...LIVE);
  document.body.classList.remove("stale");
  if (!document.hidden) drawAll();
}

function refused(error) {
  if (error.name === "AbortError") return;
  if (error.status === 401 || error.status === 403) {
    listening = null;
    sayLive(error.status === 401 ? "needs a key" : "not allowed", "warn");
    document.body.classList.add("stale");
    if (error.status === 403) at("key").hidden = false;
    drawRemarks([wordsOf(error)]);
    return;
  }
  lost(wordsOf(error), false, (error.after_s || 0) * 1000);
}

function lost(why, atOnce, after_ms = 0) {
  listening = null;
  document.body.classList.add("stale");
  const wait_ms = atOnce && !failures ? 0 : Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** failures);
  failures += 1;
  retryAt = Date.now() + Math.max(wait_ms, after_ms) * (0.8 + 0.4 * Math.random()); // pages do not all come at once
  if (wait_ms) drawRemarks([why]);
}

function watch() {
  const now = Date.now();
  if (listening && now - heardAt > SILENT_MS) {
    listening.abort();
    lost("the server has said nothing for a while", false);
  } else if (!listening && retryAt) {
    if (now >= retryAt) listen();
    else sayLive(`reconnecting in ${Math.ceil((retryAt - now) / 1000)} s`, "warn");
  }
}

/* ---- the page */

function sayLive(words, kind) {
  setText(at("live"), words);
  at("live").className = `chip ${kind}`;
}

function drawAll() {
  if (!reading) return;
  const span_s = spanSeconds();
  tiles.draw(past, limits, span_s);
  drawMemory(reading);
  drawMachine(reading.memory, limits);
  drawQueue(reading.queue, limits);
  models.draw(reading.models, past);
  if (at("models").classList.contains("old")) setText(at("models-sum"), "not known now");
  drawRelays(reading.relays);
  decisions.draw();
  drawRemarks(reading.remarks);
  const running = reading.queue ? past.last("running") : null;
  document.title = `${reading.remarks.length ? "(!) " : ""}${running ? `${running} running - ` : ""}mlx-warden`;
  setText(at("as-of"), `as of ${clock(reading.at_s)}`);
}

/* What stands in `backticks` is something to type. */
const withCode = (text) => text.split(/`([^`]+)`/).map((part, number) => (number % 2 ? make("code", {}, part) : part));

let announced = "", drawn = "";

/* Each remark is a line; a screen reader is told of a new one, not of each number that changes in it. */
function drawRemarks(remarks) {
  const wanted = remarks.map(visible);
  if (drawn !== wanted.join("\n")) {
    drawn = wanted.join("\n");
    at("remarks").replaceChildren(...wanted.map((text) => make("p", { class: "notice words" }, withCode(text))));
  }
  const gist = wanted.join(". ").replace(/[\d.]+/g, "");
  if (gist === announced) return;
  announced = gist;
  setText(at("said"), wanted.join(". "));
}

bindKeyField(at("key"), () => { failures = 0; listen(); });
at("span").addEventListener("change", drawAll);
document.addEventListener("visibilitychange", () => { if (!document.hidden) drawAll(); });
window.addEventListener("online", () => { if (!listening && retryAt) listen(); });
sayLive(...WAITS);
setInterval(watch, TICK_MS);
listen();
