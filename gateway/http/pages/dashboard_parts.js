/* The parts that hold one reading: memory and who has it, the machine, the queue by class, the relays. */

import { at, bytes, decimal, make, percent, setAttribute, setText, visible } from "./page.js";

const COLOURS = 8;
const CLASSES = ["high", "medium", "low"];
const PLACES_MAX = 24; // more are a bar
const LEVELS = { normal: ["normal", "good"], warn: ["short", "warn"], critical: ["very short", "bad"],
  emergency: ["emergency", "bad"] };

/* The colour of a model is that of its place in the configuration, so it does not change. */
export const colourOf = (number) => `part-${(number % COLOURS) + 1}`;

/* What a model uses of what it was given; nothing is used yet by one that only starts. */
export const useOf = (model) =>
  (model.memory_bytes ? `${bytes(model.memory_bytes)} of ` : "") + bytes(model.share_bytes);

const bytesOrNone = (count) => (count ? bytes(count) : "nothing"); // where 0 is known to be 0

const width = (part, whole) => `${Math.max(0, Math.min(100, whole ? (100 * part) / whole : 0)).toFixed(2)}%`;

/* As many children as `count`, made by `build` where they are missing; the others stay as they are. */
function children(parent, count, build) {
  while (parent.children.length > count) parent.lastElementChild.remove();
  while (parent.children.length < count) parent.append(build());
  return [...parent.children];
}

export function drawMemory({ memory, models }) {
  const numbered = models.map((model, number) => ({ ...model, colour: colourOf(number) }));
  const held = numbered.filter((model) => model.share_bytes);
  const shared = held.reduce((sum, model) => sum + model.share_bytes, 0);
  const ceiling = memory ? memory.ceiling_bytes : 0, leaked = memory ? memory.leaked_bytes : 0;
  const whole = Math.max(ceiling, shared + leaked);
  setText(at("memory-sum"), memory ? `${bytesOrNone(memory.reserved_bytes)} of the budget of ${bytes(ceiling)} given `
    + "out" : "not known: control is silent");
  const parts = children(at("budget"), held.length + (leaked ? 1 : 0), () =>
    make("div", { class: "part" }, make("div", { class: "use" })));
  held.forEach((model, number) => drawShare(parts[number], model, whole));
  if (leaked) {
    parts.at(-1).className = "part leaked";
    parts.at(-1).style.width = width(leaked, whole);
    setAttribute(parts.at(-1), "title", `${bytes(leaked)} did not come back`);
  }
  setAttribute(at("budget"), "aria-label", [`Budget ${bytes(ceiling)}`, ...held.map((model) =>
    `${visible(model.name)} ${bytes(model.share_bytes)}`)].join(", "));
  drawShares(held, leaked, ceiling ? Math.max(0, ceiling - shared - leaked) : null);
}

function drawShare(part, model, whole) {
  part.className = `part ${model.colour}`;
  part.style.width = width(model.share_bytes, whole);
  part.firstElementChild.style.width = width(model.memory_bytes, model.share_bytes);
  setAttribute(part, "title", `${visible(model.name)}: ${useOf(model)}`);
}

/* `free` null: not known. */
function drawShares(held, leaked, free) {
  const entries = held.map((model) => [model.colour, visible(model.name), useOf(model)]);
  if (leaked) entries.push(["leaked", "did not come back", bytes(leaked)]);
  entries.push(["free", "free", free === null ? "-" : bytesOrNone(free)]);
  const lines = children(at("shares"), entries.length, () => make("li", {},
    make("i", {}), make("span", { class: "words" }), make("span", { class: "dim" })));
  entries.forEach(([colour, name, size], number) => {
    const [mark, words, amount] = lines[number].children;
    mark.className = colour;
    setText(words, name);
    setText(amount, size);
  });
}

export function drawMachine(memory, limits) {
  const used = memory ? memory.used_percent : null;
  const [words, kind] = LEVELS[memory ? memory.level : "normal"] || [memory.level, "warn"];
  setText(at("machine-sum"), used === null ? "not known"
    : `${percent(used)} of ${bytes(memory.total_bytes)} used, ${bytes(memory.available_bytes)} free: ${words}`);
  const marks = [limits.warning_percent, limits.critical_percent];
  const [use, ...ticks] = children(at("machine"), 1 + marks.length, () => make("div", {}));
  use.className = `use ${kind}`;
  use.style.width = width(used || 0, 100);
  ticks.forEach((tick, number) => {
    tick.className = "tick";
    tick.style.left = width(marks[number], 100);
    setAttribute(tick, "title", `${["warning", "critical"][number]} from ${percent(marks[number])} on`);
  });
  setAttribute(at("machine"), "aria-label", used === null ? "not known" : `${percent(used)} of this machine's memory `
    + `is used: ${words}; warning from ${percent(marks[0])}, critical from ${percent(marks[1])} on`);
}

/* ---- the queue */

export function drawQueue(queue, limits) {
  const rows = children(at("places"), 2, () => make("div", { class: "row" },
    make("p", {}, make("span", {}), make("span", { class: "dim" })), make("div", { class: "places", role: "img" })));
  drawPlaces(rows[0], "Running", queue && queue.running, limits.max_running);
  drawPlaces(rows[1], "Waiting", queue && queue.queued, limits.max_queued);
  const entries = children(at("classes"), CLASSES.length, () =>
    make("li", {}, make("i", {}), make("span", {}), make("span", { class: "dim" })));
  CLASSES.forEach((name, number) => {
    const [mark, words, counts] = entries[number].children;
    mark.className = name;
    setText(words, name);
    setText(counts, queue ? `${decimal(queue.running[name])} + ${decimal(queue.queued[name])}` : "-");
    setAttribute(entries[number], "title", queue && `${queue.running[name]} running, ${queue.queued[name]} waiting; `
      + `${queue.admitted[name]} taken since the gateway started`);
  });
  const paused = queue ? CLASSES.reduce((sum, name) => sum + queue.paused[name], 0) : 0;
  setText(at("paused"), paused ? `${paused} paused for others` : "");
  setText(at("counters"), queue ? countersOf(queue) : "not known: the gateway is silent");
}

function drawPlaces(row, label, byClass, most) {
  const [head, bar] = row.children;
  const counts = CLASSES.map((name) => (byClass ? byClass[name] : 0));
  const sum = counts.reduce((total, count) => total + count, 0);
  setText(head.children[0], label);
  setText(head.children[1], byClass ? `${decimal(sum)} of ${decimal(most)}` : "-");
  setAttribute(bar, "aria-label", `${label}: ${sum} of ${most}`);
  if (most <= PLACES_MAX) {
    const whose = CLASSES.flatMap((name, number) => Array(counts[number]).fill(name)).slice(0, most);
    bar.className = "places";
    children(bar, most, () => make("i", {})).forEach((place, number) => { place.className = whose[number] || ""; });
    return;
  }
  bar.className = "places bar thin";
  children(bar, CLASSES.length, () => make("i", {})).forEach((part, number) => {
    part.className = `use ${CLASSES[number]}`;
    part.style.width = width(counts[number], most);
  });
}

function countersOf(queue) {
  const told = [[queue.finished, "answered"], [queue.failed, "failed"], [queue.cancelled, "cancelled"],
    [queue.rejected + queue.displaced, "refused"], [queue.rate_limited, "too often"],
    [queue.expired, "waited too long"], [queue.hops, "went on to another backend"]];
  return told.filter(([count], number) => count || !number).map(([count, words]) => `${decimal(count)} ${words}`)
    .join(", ") + " since the gateway started";
}

/* ---- relays */

export function drawRelays(relays) {
  at("relays").hidden = !relays.length;
  const lines = children(at("relays").querySelector("ul"), relays.length, () => make("li", {},
    make("strong", {}), make("span", { class: "chip" }), make("span", { class: "number" }),
    make("span", { class: "dim words" })));
  relays.forEach((relay, number) => {
    const [name, state, work, reason] = lines[number].children;
    const isUp = relay.state === "ready" && relay.breaker === "closed";
    setText(name, relay.name.replace(/^relay-/, ""));
    setText(state, isUp ? "answers" : relay.state === "ready" ? "does not answer" : relay.state.replace("_", " "));
    state.className = `chip ${isUp ? "good" : "warn"}`;
    setText(work, `${decimal(relay.in_flight)} running, ${decimal(relay.queued)} waiting`);
    setText(reason, visible(relay.reason));
  });
}
